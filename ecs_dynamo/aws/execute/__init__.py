"""Execution of a plan's actions, each of which may be repeated."""
