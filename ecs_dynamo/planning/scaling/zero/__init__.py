"""Scaling to zero and back: how long to stay, how many to start, and which roles go together."""
