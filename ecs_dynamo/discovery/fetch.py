"""Reads of what replicas answer over HTTP, bounded in bytes and in time while they are read.

A replica may answer anything: a page without an end, one byte a second, no text at all. Whatever it
answers costs at most ``max_bytes`` of memory and ``timeout`` seconds, and ends in an error that
names the URL, and with it the replica.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, NoReturn

import aiohttp

from ecs_dynamo.discovery.exposition import MetricsPage, MetricsReader

METRICS_BYTES = 8 * 1024 * 1024
"""Dynamo's frontends and workers (1.6.1) write some hundred KiB, mostly histograms."""
DOCUMENT_BYTES = 1024 * 1024
SHOWN = 200
"""Of an answer that is quoted in an error, in characters."""
MAX_DEPTH = 32
"""How deep the values of a JSON document may nest; those of Dynamo stay below ten."""


class FetchError(ConnectionError):
    """There is no usable answer; the message begins with the URL."""


class MalformedError(FetchError):
    """There is an answer, and it is not one that the replica should give."""


class StatusError(FetchError):
    """There is an answer, with another status than 200."""


def quoted(text: str | bytes) -> str:
    """The beginning of ``text``, safe to show."""
    shown = repr(text[:SHOWN])
    return shown if len(text) <= SHOWN else f"{shown}..."


async def _read(
    url: str,
    take: Callable[[bytes], None],
    *,
    timeout: float,
    max_bytes: int,
    session: aiohttp.ClientSession | None,
    params: Mapping[str, str] | None,
    redirects: bool,
) -> None:
    """GET ``url`` and hand its body on piece by piece. ``take`` raises ValueError to refuse it."""
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(timeout):
            if session is None:
                session = await stack.enter_async_context(
                    # Without decompression: a small body may stand for a huge one.
                    aiohttp.ClientSession(auto_decompress=False)
                )
            answer = await stack.enter_async_context(
                session.get(
                    url,
                    params=params,
                    allow_redirects=redirects,
                    headers={"Accept-Encoding": "identity"},
                )
            )
            if answer.status != 200:
                said = await answer.content.read(4 * SHOWN)
                text = said.decode(errors="replace").strip()
                raise StatusError(
                    f"{url}: HTTP {answer.status}" + (f": {quoted(text)}" if text else "")
                )
            encoding = answer.headers.get("Content-Encoding", "identity").lower()
            if encoding != "identity":
                raise MalformedError(f"{url}: answers in the encoding {quoted(encoding)}")
            size = 0
            async for piece in answer.content.iter_any():
                size += len(piece)
                if size > max_bytes:
                    raise MalformedError(f"{url}: the answer is longer than {max_bytes} bytes")
                try:
                    take(piece)
                except ValueError as error:
                    raise MalformedError(f"{url}: {error}") from None
                # What is there already is handed out without a pause: others get their turn.
                await asyncio.sleep(0)
    except TimeoutError:
        raise TimeoutError(f"{url}: no whole answer within {timeout:g} s") from None
    except FetchError:
        raise
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(f"{url}: {str(error) or type(error).__name__}") from None


async def fetch_json(
    url: str,
    *,
    timeout: float,
    max_bytes: int = DOCUMENT_BYTES,
    session: aiohttp.ClientSession | None = None,
    params: Mapping[str, str] | None = None,
    redirects: bool = False,
) -> Any:
    """GET a JSON document. Raises `FetchError`, or TimeoutError after ``timeout`` seconds."""
    body = bytearray()
    await _read(
        url,
        body.extend,
        timeout=timeout,
        max_bytes=max_bytes,
        session=session,
        params=params,
        redirects=redirects,
    )
    try:
        return parse_json(bytes(body))
    except ValueError as error:
        raise MalformedError(f"{url}: {error}") from None


async def fetch_status(
    url: str,
    *,
    timeout: float,
    max_bytes: int = DOCUMENT_BYTES,
    session: aiohttp.ClientSession | None = None,
) -> None:
    """GET ``url`` for its status alone. Raises `FetchError` unless it is 200, and TimeoutError."""
    await _read(
        url,
        lambda _: None,
        timeout=timeout,
        max_bytes=max_bytes,
        session=session,
        params=None,
        redirects=False,
    )


async def fetch_metrics(
    url: str,
    wanted: frozenset[str],
    prefix: str,
    *,
    timeout: float,
    max_bytes: int = METRICS_BYTES,
    session: aiohttp.ClientSession | None = None,
) -> MetricsPage:
    """GET a page of Prometheus text and keep the samples in ``wanted``, read line by line.

    ``prefix`` is as in `MetricsReader`. Raises `FetchError`, or TimeoutError after ``timeout``
    seconds.
    """
    reader = MetricsReader(wanted, prefix)
    await _read(
        url,
        reader.feed,
        timeout=timeout,
        max_bytes=max_bytes,
        session=session,
        params=None,
        redirects=False,
    )
    try:
        return reader.end()
    except ValueError as error:
        raise MalformedError(f"{url}: {error}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed in JSON")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {quoted(text)} is too large")
    return value


def parse_json(data: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """A JSON document from outside: UTF-8, finite numbers, values nested ``max_depth`` deep at
    most. Raises ValueError for anything else, and nothing but that.
    """
    try:
        value = json.loads(data.decode(), parse_constant=_no_constant, parse_float=_number)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text (at byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} (at character {error.pos})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [value]
    for _ in range(max_depth):
        level = [
            item
            for one in level
            if isinstance(one, dict | list)
            for item in (one.values() if isinstance(one, dict) else one)
        ]
    if any(isinstance(one, dict | list) for one in level):
        raise ValueError("nested too deeply")
    return value
