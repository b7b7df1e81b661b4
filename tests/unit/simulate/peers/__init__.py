"""Tests of the peers: each documented rule as a table of views and counts."""
