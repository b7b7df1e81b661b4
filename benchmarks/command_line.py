"""The selection of items on the command lines of benchmarks."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def select(items: Mapping[str, Item], patterns: Sequence[str]) -> list[Item]:
    """Return the items whose names match one of the shell patterns."""
    return [
        item
        for name, item in items.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    ]
