"""Read replicas' answers over HTTP with limits on size and time.

A replica may answer anything: an endless page, one byte per second, or binary data. Any answer
costs at most ``max_bytes`` of memory and ``timeout`` seconds, and every error names the URL and
thereby the replica.
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
"""Maximum size of a metrics page; those of Dynamo 1.6.1 have a few hundred KiB."""
DOCUMENT_BYTES = 1024 * 1024
PIECE_BYTES = 16 * 1024
"""Maximum size of what is parsed before other tasks run: 400 samples, some milliseconds."""
MAX_QUOTED = 200
"""Maximum length of an answer that is quoted in an error, in characters."""
MAX_DEPTH = 32
"""Maximum nesting depth of a JSON document; those of Dynamo stay below ten."""


class FetchError(ConnectionError):
    """There is no usable answer. The message begins with the URL."""


class MalformedError(FetchError):
    """The answer is not a valid one for this URL."""


class StatusError(FetchError):
    """The answer has a status other than 200."""


def quoted(text: str | bytes) -> str:
    """Return the beginning of ``text`` with control characters escaped."""
    start = repr(text[:MAX_QUOTED])
    return start if len(text) <= MAX_QUOTED else f"{start}..."


async def _read(
    url: str,
    take: Callable[[bytes], None],
    *,
    timeout: float,
    max_bytes: int,
    session: aiohttp.ClientSession | None = None,
    params: Mapping[str, str] | None = None,
    redirects: bool = False,
) -> None:
    """GET ``url`` and pass its body to ``take`` in pieces; ``take`` raises ValueError to reject it.

    Raises `FetchError`, or TimeoutError after ``timeout`` seconds.
    """
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(timeout):
            if session is None:
                session = await stack.enter_async_context(
                    # No decompression: a small compressed body may expand to a huge one.
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
                beginning = await answer.content.read(4 * MAX_QUOTED)
                text = beginning.decode(errors="replace").strip()
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
                for start in range(0, len(piece), PIECE_BYTES):
                    try:
                        take(piece[start : start + PIECE_BYTES])
                    except ValueError as error:
                        raise MalformedError(f"{url}: {error}") from None
                    # Buffered pieces arrive without a pause; let other tasks run in between.
                    await asyncio.sleep(0)
    except TimeoutError:
        raise TimeoutError(f"{url}: no complete answer within {timeout:g} s") from None
    except FetchError:
        raise
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(f"{url}: {str(error) or type(error).__name__}") from None


async def fetch_json(
    url: str,
    *,
    timeout: float,
    max_bytes: int = DOCUMENT_BYTES,
    params: Mapping[str, str] | None = None,
    redirects: bool = False,
) -> Any:
    """Fetch a JSON document. Raises `FetchError`, or TimeoutError after ``timeout`` seconds."""
    body = bytearray()
    await _read(
        url,
        body.extend,
        timeout=timeout,
        max_bytes=max_bytes,
        params=params,
        redirects=redirects,
    )
    try:
        return parse_json(bytes(body))
    except ValueError as error:
        raise MalformedError(f"{url}: {error}") from None


async def fetch_status(url: str, *, timeout: float) -> None:
    """Check that ``url`` answers with status 200. Raises `FetchError` or TimeoutError."""
    await _read(url, lambda _: None, timeout=timeout, max_bytes=DOCUMENT_BYTES)


async def fetch_metrics(
    url: str,
    names: frozenset[str],
    prefix: str,
    *,
    timeout: float,
    session: aiohttp.ClientSession | None = None,
    optional: frozenset[str] = frozenset(),
) -> MetricsPage:
    """Fetch a page of Prometheus text and keep the samples called ``names`` or ``optional``.

    ``prefix`` is that of the server's own metrics. Raises `FetchError`, or TimeoutError after
    ``timeout`` seconds.
    """
    reader = MetricsReader(names, prefix, optional)
    await _read(url, reader.feed, timeout=timeout, max_bytes=METRICS_BYTES, session=session)
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


def parse_json(data: bytes) -> Any:
    """Parse an untrusted JSON document.

    Raises ValueError, and no other exception, unless it is UTF-8 with finite numbers and nested at
    most `MAX_DEPTH` deep.
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
    for _ in range(MAX_DEPTH):
        level = [
            item
            for parent in level
            if isinstance(parent, dict | list)
            for item in (parent.values() if isinstance(parent, dict) else parent)
        ]
    if any(isinstance(item, dict | list) for item in level):
        raise ValueError("nested too deeply")
    return value
