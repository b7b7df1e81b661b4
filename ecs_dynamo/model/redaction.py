"""Replacement of possible secrets in output.

A secret belongs in ECS's `secrets`. A plan, a log or a status must still not show one that is in
plain text in `environment`.
"""

from __future__ import annotations

import re
from typing import Any

from ecs_dynamo.common.json_values import (
    JsonPath,
    map_json,
)

HIDDEN = "(hidden)"
_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY|PRIVATE_KEY|"
    r"ACCESS_KEY)(?:$|_)",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")
"""The password of a URL such as ``nats://user:password@host``."""


def is_secret_name(name: str) -> bool:
    """Return whether a variable of this name holds a secret, as far as its name shows."""
    return _NAME.search(name) is not None


def without_secrets(value: Any) -> Any:
    """Return ``value`` (JSON such as a part of a task definition) without possible secrets."""
    return map_json(value, _hide_password, _hide_value)


def _hide_password(value: Any, _path: JsonPath) -> Any:
    return _PASSWORD.sub(rf"\1:{HIDDEN}@", value) if isinstance(value, str) else value


def _hide_value(entry: dict[str, Any], _path: JsonPath) -> dict[str, Any]:
    """Hide the value of a variable whose name shows that it is a secret."""
    if isinstance(entry.get("value"), str) and is_secret_name(str(entry.get("name", ""))):
        return {**entry, "value": HIDDEN}
    return entry
