"""Tests of the scaling benchmark: its jobs, its store, and what it claims."""
