"""Compilation of numeric functions with numba, behind one typed decorator.

Machine code is cached beside the source or, where that folder is read-only, in the user's cache
directory (numba's documentation, "Notes on Caching"). Without numba, the functions run interpreted,
a hundred times slower and with the same results.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def _import_numba() -> Any | None:
    """Return the module numba, which has types for a part of its interface only."""
    try:
        return importlib.import_module("numba")
    except ModuleNotFoundError:
        warnings.warn(
            "the simulator is a hundred times slower without numba: "
            "pip install 'ecs-dynamo[simulate]'",
            stacklevel=2,
        )
        return None


_numba = _import_numba()


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` at its first call, and cache the machine code on disk."""
    if _numba is None:
        return function
    try:
        dispatcher: Callable[P, R] = _numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        # No folder for the cache is writable, e.g. in a container with a read-only root.
        dispatcher = _numba.njit(function)
    return dispatcher
