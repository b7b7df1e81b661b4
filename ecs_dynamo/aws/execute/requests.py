"""Request parameters that several operations share."""

from __future__ import annotations

from collections.abc import Mapping


def tags_request(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return ``tags`` as ECS takes them, sorted by key."""
    return [{"key": key, "value": tags[key]} for key in sorted(tags)]
