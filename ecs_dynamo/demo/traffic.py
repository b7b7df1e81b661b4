"""Requests to the frontend as users send them: chat completions, each with its outcome.

A failed request is recorded and never retried: the demonstration reports the outages it causes.
Only if an address refuses the connection, so that nothing was sent, the next address is tried, as
clients of a name with several addresses do.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

REQUEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion. Times are monotonic seconds; ``error`` is None if it succeeded."""

    started: float
    seconds: float
    kind: str
    error: str | None = None
    first_token_seconds: float | None = None


@dataclass(slots=True)
class Traffic:
    """A client that sends requests to the first of ``frontends()`` that accepts the connection."""

    frontends: Callable[[], Sequence[str]]
    model: str
    done: list[Request] = field(default_factory=list)
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def chat(
        self, prompt: str, *, stream: bool, tokens: int = 16, kind: str = "check"
    ) -> tuple[Request, str]:
        """Send one request. Return its record and the generated text."""
        started = time.monotonic()
        first: float | None = None
        error: str | None = None
        text = ""
        try:
            text, first = await self._send(prompt, stream=stream, tokens=tokens)
            if not text:
                error = "the answer has no content"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as problem:
            error = f"{type(problem).__name__}: {problem}"[:200]
        request = Request(
            started,
            time.monotonic() - started,
            kind,
            error,
            None if first is None else first - started,
        )
        self.done.append(request)
        return request, text

    async def _send(self, prompt: str, *, stream: bool, tokens: int) -> tuple[str, float | None]:
        urls, session = self.frontends(), self._session
        if not urls or session is None:
            raise ValueError("no ready frontend is known")
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "stream": stream,
        }
        for url in urls:
            try:
                async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
                    return await read_answer(answer, stream=stream)
            except aiohttp.ClientConnectorError:
                if url == urls[-1]:
                    raise
        raise AssertionError("the loop returns or raises")

    @asynccontextmanager
    async def background(
        self, kind: str, concurrency: int, *, words: int, tokens: int, pause: float = 0.0
    ) -> AsyncIterator[None]:
        """Run ``concurrency`` clients inside the context, each with one request after another.

        A prompt has ``words`` words and an answer at most ``tokens`` tokens. A client waits
        ``pause`` seconds between requests, and at least half a second after a failed one.
        """
        stop = asyncio.Event()

        async def client(number: int) -> None:
            turn = 0
            while not stop.is_set():
                turn += 1
                # Every prompt is unique: a shared prefix would be served from the KV cache.
                prompt = " ".join(f"w{number}x{turn}y{i}" for i in range(words))
                request, _ = await self.chat(prompt, stream=True, tokens=tokens, kind=kind)
                await asyncio.sleep(pause if request.error is None else max(pause, 0.5))

        clients = [asyncio.create_task(client(n)) for n in range(concurrency)]
        try:
            yield
        finally:
            stop.set()
            _, late = await asyncio.wait(clients, timeout=REQUEST_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    def since(self, moment: float, kinds: tuple[str, ...] = ()) -> tuple[int, int]:
        """Return how many requests started at or after ``moment``, and how many of them failed."""
        selected = [r for r in self.done if r.started >= moment and (not kinds or r.kind in kinds)]
        return len(selected), sum(1 for r in selected if r.error)


async def read_answer(answer: aiohttp.ClientResponse, *, stream: bool) -> tuple[str, float | None]:
    """Return a completion's text, and when its first token arrived (None if it was not streamed).

    The text is empty if the answer has none. Raises ValueError for a status other than 200, and for
    a stream that reports an error or ends early.
    """
    if answer.status != 200:
        raise ValueError(f"HTTP {answer.status}: {(await answer.text())[:120]}")
    if stream:
        return await _read_stream(answer)
    return _text(await answer.json(), "message"), None


def _text(document: Any, member: str) -> str:
    """Return the text in an answer (``member``: ``message``) or in a chunk (``delta``)."""
    choices = document.get("choices", ())
    return "".join(str(c.get(member, {}).get("content") or "") for c in choices)


async def _read_stream(answer: aiohttp.ClientResponse) -> tuple[str, float | None]:
    """Return the text of a server-sent event stream and when its first part arrived.

    Raises ValueError if the stream ends early.
    """
    parts: list[str] = []
    first: float | None = None
    finished = False
    async for raw in answer.content:
        line = raw.decode().strip()
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            finished = True
            break
        chunk = json.loads(data)
        if "error" in chunk:
            raise ValueError(f"stream error: {chunk['error']}")
        if content := _text(chunk, "delta"):
            first = first if first is not None else time.monotonic()
            parts.append(content)
    if not finished:
        raise ValueError("the stream ended early")
    return "".join(parts), first
