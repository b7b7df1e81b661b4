"""Least-privilege IAM policy documents for the graphs of one daemon."""
