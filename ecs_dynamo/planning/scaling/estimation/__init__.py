"""Estimates from measurements: pure functions from a frozen state to the next state."""
