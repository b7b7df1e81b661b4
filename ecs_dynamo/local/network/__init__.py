"""Loopback addresses and TCP forwarders, in place of the VPC and the networks of instances."""
