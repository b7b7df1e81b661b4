"""Replays a request trace through a model of the fleet, with the policy code of production."""
