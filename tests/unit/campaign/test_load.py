"""The cases in which a client's request counts as served, retried or failed."""

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
"""The port of the discard protocol, on which no server listens."""


@asynccontextmanager
async def frontend(answer: str) -> AsyncIterator[str]:
    """Run a frontend that answers in this way, and yield its URL."""

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


async def send(*urls: str, streamed: bool) -> tuple[int, str | None]:
    """Send one request, first to the first of ``urls``. Return its attempts and its error."""
    load = Load(lambda: urls)
    async with load.running(clients=0):
        await load.send("Hello.", streamed=streamed)
    (outcome,) = load.done
    assert outcome.ended >= outcome.sent
    return outcome.attempts, outcome.error


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_complete_answer_is_served(streamed: bool) -> None:
    async with frontend("good") as url:
        assert await send(url, streamed=streamed) == (1, None)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_request_without_an_answer_is_retried_once_elsewhere(streamed: bool) -> None:
    async with frontend("good") as good, frontend("cut") as cut:
        assert await send(CLOSED, good, streamed=streamed) == (2, None)
        assert await send(cut, good, streamed=streamed) == (2, None)
        attempts, error = await send(CLOSED, cut, good, streamed=streamed)
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
async def test_a_request_is_not_retried_once_its_answer_has_begun(
    answer: str, streamed: bool, says: str
) -> None:
    async with frontend(answer) as bad, frontend("good") as good:
        assert await send(bad, good, streamed=streamed) == (1, says)


async def test_no_frontend_is_a_failure() -> None:
    assert await send(streamed=False) == (0, "no ready frontend is known")


async def test_clients_keep_their_rate_without_answers() -> None:
    """No request is answered, so a client that waits would send only one."""
    release = asyncio.Event()
    streamed: list[bool] = []
    enough = asyncio.Event()

    async def hold(request: web.Request) -> web.Response:
        streamed.append((await request.json())["stream"])
        if len(streamed) >= 9:
            enough.set()
        await release.wait()
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
            release.set()
    finally:
        await runner.cleanup()
    assert 3 <= sum(streamed) <= len(streamed) - 3
    assert len(load.done) >= 9
