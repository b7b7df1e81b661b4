"""Rules that recognize hung and lost replicas, and replace them."""
