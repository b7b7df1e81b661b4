"""Rollouts under load: what each costs in requests, routed capacity and seconds."""
