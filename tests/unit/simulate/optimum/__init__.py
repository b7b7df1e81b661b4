"""Tests of what perfect knowledge of a trace is worth."""
