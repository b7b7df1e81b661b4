"""What may be a secret in a task definition, and how it is shown: not at all.

A secret belongs into ECS's `secrets`; one that stands in plain text in `environment` must still
not be spread by a plan, a log or a status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "(hidden)"
_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY|PRIVATE_KEY|"
    r"ACCESS_KEY)(?:$|_)",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")
"""The password of a URL such as ``nats://user:password@host``."""


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret, as far as a name can tell."""
    return _NAME.search(name) is not None


def without_secrets(value: Any) -> Any:
    """``value`` (JSON, a task definition or a part of one) with what may be a secret hidden."""
    if isinstance(value, str):
        return _PASSWORD.sub(rf"\1:{HIDDEN}@", value)
    if isinstance(value, Mapping):
        shown = {key: without_secrets(item) for key, item in value.items()}
        if isinstance(value.get("value"), str) and is_secret_name(str(value.get("name", ""))):
            shown["value"] = HIDDEN
        return shown
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value
