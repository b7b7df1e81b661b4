"""Settings from variables and flags."""

from __future__ import annotations

import pytest

from ecs_dynamo.config import load_settings
from ecs_dynamo.model.errors import InputError


def test_settings_name_their_variable_and_flags_win() -> None:
    settings = load_settings(
        {"ECS_DYNAMO_LOG_LEVEL": "DEBUG", "ECS_DYNAMO_HTTP_PORT": "1"}, http_port=2
    )
    assert (settings.log_level, settings.http_port) == ("debug", 2)
    for environ, flags, words in (
        ({"ECS_DYNAMO_RESYNC_SECONDS": "soon"}, {}, "ECS_DYNAMO_RESYNC_SECONDS"),
        ({"ECS_DYNAMO_RESYNC_SECOND": "5"}, {}, "RESYNC_SECONDS"),
        ({}, {"http_port": 99999}, "--http-port"),
        ({"ECS_DYNAMO_ENDPOINT_URL": "here"}, {}, "not a URL"),
        (
            {"ECS_DYNAMO_BACKOFF_MIN_SECONDS": "9", "ECS_DYNAMO_BACKOFF_MAX_SECONDS": "1"},
            {},
            "lower the first",
        ),
    ):
        with pytest.raises(InputError, match=words):
            load_settings(environ, **flags)
    assert load_settings({"ECS_DYNAMO_PROFILE": "", "ECS_DYNAMO_UNRELATED": "x"}).profile is None


def test_the_environment_of_the_process_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECS_DYNAMO_LOG_LEVEL", "debug")
    assert load_settings({}).log_level == "info"
    assert load_settings({"ecs_dynamo_log_level": "warning"}).log_level == "warning"
