"""Hung and lost replicas: how they are recognized and when they are replaced."""
