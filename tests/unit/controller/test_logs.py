"""A log that cannot be written to does not stop the daemon, and lost lines are counted."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from ecs_dynamo.config import load_settings
from ecs_dynamo.controller.telemetry.logs import configure_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers = list(logging.getLogger().handlers)
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers = handlers


SETTINGS = load_settings({"ECS_DYNAMO_LOG_FORMAT": "json"})


def test_a_full_disk_loses_lines_and_raises_nothing() -> None:
    with Path("/dev/full").open("w") as full:
        configure_logging(SETTINGS, full)
        log = structlog.get_logger()
        for number in range(1000):
            log.warning("a line", number=number, text="x" * 100)
        try:
            raise ValueError("oh")
        except ValueError:
            log.exception("failed")
        logging.getLogger("some.library").error("one more")


def test_a_closed_pipe_loses_lines_and_raises_nothing() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        configure_logging(SETTINGS, stream)
        os.close(reader)
        structlog.get_logger().error("nobody reads this")


def test_a_reader_that_has_stopped_holds_up_nothing_and_is_reported_later() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        configure_logging(SETTINGS, stream)
        log = structlog.get_logger()
        for number in range(3000):  # Far more than a pipe holds.
            log.info("a line", number=number, text="x" * 200)
        os.set_blocking(reader, False)
        with os.fdopen(reader, "rb", buffering=0) as readable:
            output = b""
            while piece := readable.read(65536):
                output += piece
            log.info("again")
            later = (readable.read(65536) or b"").splitlines()
    lines = [json.loads(line) for line in output.splitlines()[:-1]]
    assert [line["number"] for line in lines] == list(range(len(lines)))
    # The line that was cut is ended by what comes next.
    lost, again = (json.loads(line[line.index(b'{"event') :]) for line in later[-2:])
    assert lost["event"] == "log lines were lost"
    assert lost["count"] >= 3000 - len(lines) - 1
    assert again["event"] == "again"


def test_without_a_stream_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    configure_logging(SETTINGS)
    structlog.get_logger().error("lost")


def test_what_libraries_log_is_one_line() -> None:
    out = io.StringIO()
    configure_logging(SETTINGS, out)
    try:
        raise OSError("too many\nopen files")
    except OSError:
        logging.getLogger("asyncio").exception("socket.accept() out of system resource")
    (line,) = out.getvalue().splitlines()
    assert "too many" in json.loads(line)["error"]
    assert "Traceback" not in line
