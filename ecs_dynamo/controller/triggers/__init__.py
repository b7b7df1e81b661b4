"""Triggers that wake a graph's loop before its next regular pass."""
