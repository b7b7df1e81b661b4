"""Tests of generations of workers."""
