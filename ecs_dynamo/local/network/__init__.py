"""Loopback addresses and TCP forwarders that stand for the networks of an AWS Region."""
