"""The least rights that the graphs of one daemon need, as IAM policy documents."""
