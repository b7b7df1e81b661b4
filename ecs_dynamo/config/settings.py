"""The daemon's settings: ``ECS_DYNAMO_*`` variables, and command-line flags, which win over them.

They are separate from the graph file: the file says what should run, and is shared and reviewed;
the settings say how one daemon runs, and differ between daemons.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ecs_dynamo.model.errors import InputError, Problem

PREFIX: Final = "ECS_DYNAMO_"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console"]
Positive = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Settings(BaseSettings):
    """How one daemon runs. All durations are in seconds. `load_settings` reads the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    log_level: LogLevel = Field(default="info", description="Least severe level that is logged.")
    log_format: LogFormat = Field(
        default="auto",
        description="Format of log lines. auto: console on a terminal, else json.",
    )
    resync_seconds: Positive = Field(
        default=30.0, description="Seconds between the passes of a graph without scaling."
    )
    signal_seconds: Positive = Field(
        default=10.0, description="Seconds between the passes of a graph that scales."
    )
    observe_timeout_seconds: Positive = Field(
        default=20.0, description="Longest duration of each part of an observation, in seconds."
    )
    http_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address at which /metrics, /status and the page are served.",
    )
    http_port: int = Field(
        default=9400,
        ge=0,
        le=65535,
        description="Port at which /metrics, /status and the page are served. 0: any free port.",
    )
    backoff_min_seconds: Positive = Field(
        default=1.0, description="Pause after the first failed pass of a graph, in seconds."
    )
    backoff_max_seconds: Positive = Field(
        default=300.0, description="Longest pause after failed passes of a graph, in seconds."
    )
    endpoint_url: str | None = Field(
        default=None, description="URL of the AWS endpoint, as in the AWS CLI."
    )
    profile: str | None = Field(default=None, description="AWS profile, as in the AWS CLI.")
    region: str | None = Field(default=None, description="AWS Region, as in the AWS CLI.")
    shutdown_timeout_seconds: Positive = Field(
        default=25.0, description="Longest duration of the shutdown after SIGTERM, in seconds."
    )
    record_directory: Path | None = Field(
        default=None, description="Directory in which demand is recorded for `simulate`."
    )
    event_queue_url: str | None = Field(
        default=None,
        description="URL of an SQS queue to which an EventBridge rule sends ECS's events.",
    )
    lease_table: str | None = Field(
        default=None,
        description="DynamoDB table of the leases with which one of several daemons leads.",
    )
    lease_etcd: bool = Field(
        default=False,
        description="Whether the lease is kept in the graph's external etcd instead.",
    )
    lease_seconds: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="Seconds after which another daemon takes over from a leader that has died.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Never read the process's environment implicitly: `load_settings` passes it."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
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
    def _has_one_lease(self) -> Self:
        if self.lease_table is not None and self.lease_etcd:
            raise ValueError(
                f"{PREFIX}LEASE_TABLE and {PREFIX}LEASE_ETCD contradict each other; keep one, and "
                "the same in every daemon"
            )
        return self

    @model_validator(mode="after")
    def _min_backoff_is_not_above_max(self) -> Self:
        if self.backoff_min_seconds > self.backoff_max_seconds:
            raise ValueError(
                f"{PREFIX}BACKOFF_MIN_SECONDS is above {PREFIX}BACKOFF_MAX_SECONDS; lower the first"
            )
        return self


def load_settings(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """Return the settings of ``environ``. An override (a flag) that is not None wins.

    Raises InputError with every invalid variable and flag. Other variables with the prefix are
    ignored unless they look like a misspelt setting.
    """
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in environ.items()}
    flags = {name: value for name, value in overrides.items() if value is not None}
    problems = list(_misspelt(environ))
    try:
        settings = Settings(**(source() | flags))
    except ValidationError as error:
        raise InputError([*problems, *_problems(error, flags)]) from None
    if problems:
        raise InputError(problems)
    return settings


def _misspelt(environ: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a problem for each variable whose name is close to that of a setting."""
    for variable in environ:
        name = variable[len(PREFIX) :].lower()
        if not variable.upper().startswith(PREFIX) or name in Settings.model_fields:
            continue
        for near in difflib.get_close_matches(name, Settings.model_fields, 1, 0.85):
            remedy = f"write {PREFIX}{near.upper()}"
            yield Problem("there is no such setting", field=variable, remedy=remedy)


def _problems(error: ValidationError, flags: Collection[str]) -> Iterator[Problem]:
    """Yield pydantic's errors, each with the variable or the flag that it is about."""
    for detail in error.errors(include_url=False, include_context=False):
        message = detail["msg"].removeprefix("Value error, ")
        name = str(detail["loc"][0]) if detail["loc"] else ""
        if not name:  # An error of several settings names them itself.
            yield Problem(message, remedy="correct or unset it")
            continue
        where = f"--{name.replace('_', '-')}" if name in flags else f"{PREFIX}{name.upper()}"
        message = f"{message}, found {detail['input']!r}"
        yield Problem(message, field=where, remedy="correct or unset it")
