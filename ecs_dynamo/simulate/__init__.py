"""Replay of a request trace through a model of the fleet, with the production policies."""
