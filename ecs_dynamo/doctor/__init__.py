"""Diagnosing what stands between a graph and its deployment."""
