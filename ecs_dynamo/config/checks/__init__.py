"""Checks of a whole graph beyond the types of its fields."""
