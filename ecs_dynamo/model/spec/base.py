"""The base of every model of the graph file, and its deprecated keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Seconds = Annotated[float, Field(ge=0)]
DrainSeconds = Annotated[float, Field(ge=0, le=7200)]


class SpecModel(BaseModel):
    """A frozen mapping of the graph file: camelCase in the file, snake_case in Python.

    Unknown keys are errors. Every field carries its description, from which the JSON Schema and
    the reference are generated.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        allow_inf_nan=False,
    )
    deprecated_keys: ClassVar[Mapping[str, str]] = {}
    """Deprecated key -> the key that replaced it. `ecs_dynamo.config` accepts it with a warning."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the model's JSON Schema, in which a deprecated key is marked as such."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for old, new in cls.deprecated_keys.items():
            properties[old] = {
                **properties[new],
                "title": old.capitalize(),
                "description": f"Deprecated: write {new} instead.",
                "deprecated": True,
            }
        return schema


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
