"""Container instances that Auto Scaling groups launch."""
