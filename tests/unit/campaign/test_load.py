"""What a client counts as served, sent again and failed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from benchmarks.chaos.load import Load

GOOD = {"choices": [{"message": {"content": "text"}}]}
CHUNK = {"choices": [{"delta": {"content": "text"}}]}
CLOSED = "http://127.0.0.1:9"
"""Nobody listens on the port of the discard protocol."""


@asynccontextmanager
async def frontend(answer: str) -> AsyncIterator[str]:
    """A frontend that answers so; its URL."""

    async def chat(request: web.Request) -> web.StreamResponse:
        if answer == "cut" and request.transport is not None:
            request.transport.abort()
        if answer == "503":
            return web.Response(status=503, text="no instances")
        if not (await request.json())["stream"]:
            return web.json_response({"choices": []} if answer == "empty" else GOOD)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(f"data: {json.dumps(CHUNK)}\n\n".encode())
        if answer == "error":
            await response.write(b'data: {"error": "worker lost"}\n\n')
        elif answer == "broken" and request.transport is not None:
            request.transport.abort()
        elif answer == "good":
            await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(*urls: str, streamed: bool) -> tuple[int, str | None]:
    """Attempts and error of one request; the first of ``urls`` is the first it is sent to."""
    load = Load(lambda: urls)
    async with load.running(clients=0):
        await load.ask("Hello.", streamed=streamed)
    (outcome,) = load.done
    assert outcome.ended >= outcome.sent
    return outcome.attempts, outcome.error


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_whole_answer_is_served(streamed: bool) -> None:
    async with frontend("good") as url:
        assert await ask(url, streamed=streamed) == (1, None)


@pytest.mark.parametrize("streamed", [False, True])
async def test_without_an_answer_it_is_sent_once_more_to_the_next(streamed: bool) -> None:
    async with frontend("good") as good, frontend("cut") as cut:
        assert await ask(CLOSED, good, streamed=streamed) == (2, None)
        assert await ask(cut, good, streamed=streamed) == (2, None)
        attempts, error = await ask(CLOSED, cut, good, streamed=streamed)
        assert (attempts, (error or "")[:12]) == (2, "not answered")


@pytest.mark.parametrize(
    ("answer", "streamed", "says"),
    [
        ("503", False, "HTTP 503: no instances"),
        ("503", True, "HTTP 503: no instances"),
        ("empty", False, "the answer is empty"),
        ("error", True, "stream error: worker lost"),
        ("unfinished", True, "the stream ended early"),
        ("broken", True, "broken off: ClientPayloadError"),
    ],
)
async def test_an_answer_that_began_is_not_asked_for_again(
    answer: str, streamed: bool, says: str
) -> None:
    async with frontend(answer) as bad, frontend("good") as good:
        assert await ask(bad, good, streamed=streamed) == (1, says)


async def test_no_frontend_is_a_failure() -> None:
    assert await ask(streamed=False) == (0, "no ready frontend is known")


async def test_clients_send_at_their_rate_whatever_is_answered() -> None:
    """Nothing is answered at all: a client that waited would send one request."""
    never = asyncio.Event()
    seen: list[bool] = []
    enough = asyncio.Event()

    async def hold(request: web.Request) -> web.Response:
        seen.append((await request.json())["stream"])
        if len(seen) >= 9:
            enough.set()
        await never.wait()
        return web.json_response(GOOD)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", hold)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    load = Load(lambda: [f"http://127.0.0.1:{runner.addresses[0][1]}"])
    try:
        async with load.running(clients=2, period=0.05):
            await asyncio.wait_for(enough.wait(), 10)
            assert not load.done
            never.set()
    finally:
        await runner.cleanup()
    assert 3 <= sum(seen) <= len(seen) - 3
    assert len(load.done) >= 9
