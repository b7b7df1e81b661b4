"""Changed observations, and the environment of rendered containers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any


def environment(content: Any, name: str) -> dict[str, str]:
    (found,) = (c for c in content["containerDefinitions"] if c["name"] == name)
    return {e["name"]: e["value"] for e in found.get("environment", ())}


def changed(seen: Any, name: str, **changes: Any) -> Any:
    part = replace(seen.components[name], **changes)
    return replace(seen, components={**seen.components, name: part})


def draining(seen: Any) -> Any:
    return replace(seen.components["prefill"].service, status="DRAINING")
