"""Changed observations, and the environment of rendered containers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.helpers.facts import with_component


def environment(content: Any, name: str) -> dict[str, str]:
    (container,) = (c for c in content["containerDefinitions"] if c["name"] == name)
    return {e["name"]: e["value"] for e in container.get("environment", ())}


def changed(observed: Any, name: str, **changes: Any) -> Any:
    return with_component(observed, name, replace(observed.components[name], **changes))


def draining(observed: Any) -> Any:
    return replace(observed.components["prefill"].service, status="DRAINING")
