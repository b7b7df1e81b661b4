"""The JSON Schema of the graph file, for editors and for checks outside of ecs-dynamo.

It is generated from the models by ``python -m ecs_dynamo.config.schema`` and shipped as a file. A
test compares the file with the models.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from ecs_dynamo.model.spec.graph import GraphSpec

SCHEMA_FILE: Final = Path(__file__).with_name("graph.schema.json")
_VARIABLE: Final = {"type": "string", "pattern": r"\$\{.+\}"}
_PLAIN: Final = frozenset({"integer", "number", "boolean"})


def graph_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the graph file. It allows variables everywhere."""
    schema: dict[str, Any] = _allow_variables(GraphSpec.model_json_schema(by_alias=True))
    # Without `policy` the parameters of several policies match, which `oneOf` would reject.
    policies, _ = schema["$defs"]["ComponentSpec"]["properties"]["scaling"]["anyOf"]
    policies["anyOf"] = policies.pop("oneOf")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "ecs-dynamo graph file"
    return schema


def _allow_variables(node: Any) -> Any:
    """Return ``node`` so that it allows variables, and any scalar in mappings of texts."""
    if isinstance(node, list):
        return [_allow_variables(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("additionalProperties") == {"type": "string"}:
        return {**node, "additionalProperties": {"type": ["string", "number", "boolean"]}}
    walked = {
        # In these two the keys are names, not keywords of JSON Schema.
        key: {name: _allow_variables(item) for name, item in inner.items()}
        if key in ("properties", "$defs")
        else _allow_variables(inner)
        for key, inner in node.items()
    }
    restricted = walked.get("type") == "string" and walked.keys() & {"pattern", "enum"}
    if walked.get("type") in _PLAIN or restricted:
        outer = {k: walked.pop(k) for k in ("default", "title", "description") if k in walked}
        return {"anyOf": [walked, dict(_VARIABLE)], **outer}
    return walked


def schema_text() -> str:
    """Return the content of the shipped file."""
    return json.dumps(graph_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text())
