"""Helpers that know nothing of graphs; every layer may import them."""
