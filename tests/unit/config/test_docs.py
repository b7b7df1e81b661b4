"""The documentation names every field and setting that there is."""

from __future__ import annotations

from ecs_dynamo.config.schema import graph_schema
from ecs_dynamo.config.settings import PREFIX, Settings
from tests.helpers.graph_files import ROOT

TEXT = (ROOT / "docs" / "configuration.md").read_text()


def test_every_field_of_the_graph_file_is_documented() -> None:
    schema = graph_schema()
    fields = {f for part in (schema, *schema["$defs"].values()) for f in part.get("properties", {})}
    missing = {f for f in fields if f"`{f}`" not in TEXT}
    assert not missing


def test_every_setting_is_documented() -> None:
    missing = {name for name in Settings.model_fields if f"`{PREFIX}{name.upper()}`" not in TEXT}
    assert not missing


def test_every_field_of_the_graph_file_has_a_description() -> None:
    schema = graph_schema()
    missing = [
        (name, field)
        for name, part in {"GraphSpec": schema, **schema["$defs"]}.items()
        for field, content in part.get("properties", {}).items()
        if not content.get("description", "").endswith(".")
    ]
    assert not missing
    assert all(field.description for field in Settings.model_fields.values())
