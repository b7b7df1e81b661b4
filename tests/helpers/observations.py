"""Changed observations, and the environment of rendered containers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any


def environment(content: Any, name: str) -> dict[str, str]:
    (container,) = (c for c in content["containerDefinitions"] if c["name"] == name)
    return {e["name"]: e["value"] for e in container.get("environment", ())}


def changed(observed: Any, name: str, **changes: Any) -> Any:
    part = replace(observed.components[name], **changes)
    return replace(observed, components={**observed.components, name: part})


def draining(observed: Any) -> Any:
    return replace(observed.components["prefill"].service, status="DRAINING")
