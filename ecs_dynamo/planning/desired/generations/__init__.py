"""Generations of workers: their identity, and the effective graph that contains them all."""
