"""A simulated AWS account and network, and the virtual time in which the daemon meets them."""
