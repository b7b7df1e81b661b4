"""The fingerprint of a task definition: what tells "already there" from "must be registered".

It is the hash of what was rendered, kept as a tag on the revision, and never computed from what
ECS returns: ECS adds and normalises fields, so a hash of its answer would differ for ever.
"""

from __future__ import annotations

import hashlib
import json

from ecs_dynamo.model.graph import JsonObject


def fingerprint(content: JsonObject) -> str:
    """16 hex digits of SHA-256 over canonical JSON (sorted keys, no white space)."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
