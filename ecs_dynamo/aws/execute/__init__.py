"""Carrying out actions: one idempotent AWS call each."""
