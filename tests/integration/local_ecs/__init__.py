"""Tests of the local ECS and of its runtime."""
