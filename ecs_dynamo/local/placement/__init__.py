"""Placement of tasks on container instances and capacity providers. Pure."""
