"""Checks of a whole graph beyond the types of its fields.

More than 12 files: each checks one subject, independently of the others.
"""
