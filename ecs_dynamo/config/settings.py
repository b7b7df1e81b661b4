"""The daemon's own settings: ``ECS_DYNAMO_*`` variables, and command-line flags over them.

They are apart from the graph file on purpose: the file says what should run and is shared and
reviewed, these say how one daemon runs and differ from place to place.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ecs_dynamo.model.errors import InputError, Problem

PREFIX: Final = "ECS_DYNAMO_"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console"]
Positive = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Settings(BaseSettings):
    """How this daemon runs. All durations are seconds.

    ``signal_seconds`` is how often a graph with scaling is looked at, ``resync_seconds`` one
    without. ``log_format`` auto: console on a terminal, else JSON. ``http_port`` 0: any free one.
    ``endpoint_url``, ``profile``, ``region`` mean what they mean to the AWS CLI. Demand is recorded
    for `simulate` in ``record_directory``, where it is set. ``event_queue_url`` is an SQS queue
    that an EventBridge rule feeds with ECS's events. With ``lease_table`` (DynamoDB) or
    ``lease_etcd`` (a lock in the graph's external etcd) one of several daemons leads, and another
    takes over ``lease_seconds`` after it has died.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    resync_seconds: Positive = 30.0
    signal_seconds: Positive = 10.0
    observe_timeout_seconds: Positive = 20.0
    http_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)] = 9400
    backoff_min_seconds: Positive = 1.0
    backoff_max_seconds: Positive = 300.0
    endpoint_url: str | None = None
    profile: str | None = None
    region: str | None = None
    shutdown_timeout_seconds: Positive = 25.0
    record_directory: Path | None = None
    event_queue_url: str | None = None
    lease_table: str | None = None
    lease_etcd: bool = False
    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator(
        *("endpoint_url", "profile", "region", "record_directory"),
        *("event_queue_url", "lease_table"),
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("endpoint_url", "event_queue_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("not a URL such as http://127.0.0.1:4566")
        return value

    @model_validator(mode="after")
    def _one_lease(self) -> Self:
        if self.lease_table is not None and self.lease_etcd:
            raise ValueError(
                f"{PREFIX}LEASE_TABLE and {PREFIX}LEASE_ETCD contradict each other; keep one, and "
                "the same in every daemon"
            )
        return self

    @model_validator(mode="after")
    def _backoff_range(self) -> Self:
        if self.backoff_min_seconds > self.backoff_max_seconds:
            raise ValueError(
                f"{PREFIX}BACKOFF_MIN_SECONDS is above {PREFIX}BACKOFF_MAX_SECONDS; lower the first"
            )
        return self


class _GivenSettings(Settings):
    """Takes what it is given and never looks at the process's environment by itself."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def load_settings(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """Settings from ``environ``; an override (a flag) that is not None wins.

    InputError names every bad variable or flag. Variables with the prefix that are no setting
    are left alone, unless they look like a misspelt one.
    """
    fields = Settings.model_fields
    given: dict[str, Any] = {}
    problems: list[Problem] = []
    for variable, value in environ.items():
        if not variable.upper().startswith(PREFIX):
            continue
        name = variable[len(PREFIX) :].lower()
        if name in fields:
            given[name] = value
        elif near := difflib.get_close_matches(name, fields, 1, 0.85):
            problems.append(
                Problem(
                    "there is no such setting",
                    field=variable,
                    remedy=f"write {PREFIX}{near[0].upper()}",
                )
            )
    flags = {name: value for name, value in overrides.items() if value is not None}
    given.update(flags)
    try:
        settings = _GivenSettings(**given)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False):
            name = str(detail["loc"][0]) if detail["loc"] else ""
            where = f"--{name.replace('_', '-')}" if name in flags else f"{PREFIX}{name.upper()}"
            message = detail["msg"].removeprefix("Value error, ")
            if name:
                message = f"{message}, found {detail['input']!r}"
            problems.append(
                Problem(message, field=where if name else None, remedy="correct or unset it")
            )
        raise InputError(problems) from None
    if problems:
        raise InputError(problems)
    return settings
