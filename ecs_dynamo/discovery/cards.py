"""Parse model cards in etcd, as Dynamo 1.6.1 writes them.

The key is ``v1/mdc/{namespace}/{component}/{endpoint}/{lease}``, with the lease id in hexadecimal;
the value is JSON whose ``card_json`` is the card. On both request planes the card refers to the
model's files as ``http://ADDRESS:SYSTEM_PORT/v1/metadata/...``. A worker whose system port is
closed, or was already in use, writes local paths instead (measured).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ecs_dynamo.discovery.fetch import parse_json
from ecs_dynamo.model.dynamo.discovery import ModelCard

CARDS = "v1/mdc"
_NOT_COMPARED = frozenset({"slug", "source_path", "runtime_config"})
"""Fields that may differ between workers that frontends treat as equal (measured: the checksum does
not depend on paths, ports and runtime settings)."""
_MAX_FACT_LENGTH = 64


def parse_card(key: str, value: bytes) -> tuple[tuple[str, str, str, int], ModelCard] | None:
    """Return ((namespace, component, endpoint, lease id), card); None for another kind of key.

    Raises ValueError for an unusable card.
    """
    parts = key.split("/")
    if len(parts) < 6 or "/".join(parts[:2]) != CARDS:
        return None
    try:
        lease_id = int(parts[5], 16)
    except ValueError:
        return None
    document = parse_json(value)
    card = document.get("card_json") if isinstance(document, dict) else None
    if isinstance(card, str):
        card = parse_json(card.encode())
    if not isinstance(card, dict):
        raise ValueError("the model card has no card_json")
    config = card.get("runtime_config")
    routing_id = config.get("stable_routing_id") if isinstance(config, dict) else None
    return (parts[2], parts[3], parts[4], lease_id), ModelCard(
        page=_page(card),
        routing_id=routing_id if isinstance(routing_id, str) else None,
        facts=tuple(sorted(_facts(card))),
    )


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in a document. `parse_json` has limited its nesting depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _page(card: Mapping[str, Any]) -> str | None:
    for text in _texts(card):
        if not text.startswith("http") or "/v1/metadata/" not in text:
            continue
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            continue
        if host and port:
            return f"http://{host}:{port}"
    return None


def _facts(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in card.items():
        if name in _NOT_COMPARED:
            continue
        if isinstance(value, Mapping):
            for kind, item in value.items():
                fact = item.get("checksum", item) if isinstance(item, Mapping) else item
                yield f"{name}.{kind}", _shortened(fact)
        else:
            yield name, _shortened(value)


def _shortened(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    if len(text) <= _MAX_FACT_LENGTH:
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
