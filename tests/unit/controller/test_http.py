"""Clients of the daemon's port can neither exhaust its file descriptors nor fill its log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest
import structlog

from ecs_dynamo.controller.daemon.connections import (
    MAX_CONNECTIONS,
    Connections,
)
from ecs_dynamo.controller.daemon.http import serve_http


@asynccontextmanager
async def port(connections: Connections) -> AsyncIterator[str]:
    async with serve_http(
        "127.0.0.1",
        0,
        status=lambda: {"graphs": []},
        metrics=lambda: b"x" * 4_000_000,
        ready=lambda: {"g": True},
        connections=connections,
    ) as url:
        yield url


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 (nothing tells when a socket is closed)
            await asyncio.sleep(0.01)


async def get(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        await answer.read()
        return answer.status


def test_the_limit_leaves_most_files_to_the_daemon() -> None:
    assert Connections(1024).limit == 256
    assert Connections(256).limit == 64
    assert Connections(10**6).limit == MAX_CONNECTIONS


async def test_idle_connections_make_room_for_those_that_ask() -> None:
    connections = Connections(40)
    with structlog.testing.capture_logs() as logs:
        async with port(connections) as url:
            many = [await connect(url) for _ in range(60)]
            assert await get(f"{url}/healthz") == 200
            assert connections.count <= connections.limit == 10
            ended = [reader for reader, _ in many[:49]]
            for reader in ended:
                with pytest.raises((ConnectionError, EOFError)):
                    await asyncio.wait_for(reader.readexactly(1), 2.0)
            for _, writer in many:
                writer.close()
    assert len([e for e in logs if e["log_level"] == "warning"]) == 1


async def test_one_that_asks_again_and_again_is_kept() -> None:
    connections = Connections(40)
    async with port(connections) as url:
        reader, writer = await connect(url)
        for _ in range(30):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" in await reader.readuntil(b"ok\n")
            await connect(url)
        writer.close()


async def test_headers_and_idle_connections_have_a_time_limit() -> None:
    connections = Connections(1024, request_seconds=0.2, idle_seconds=0.5)
    async with port(connections) as url:
        silent, _ = await connect(url)
        slow, dripping = await connect(url)
        kept, asking = await connect(url)
        asking.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await kept.readuntil(b"ok\n")
        greedy, reading = await connect(url)
        reading.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")  # And the answer is not read.

        async def drip() -> None:
            for letter in b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 100:
                dripping.write(bytes([letter]))
                await asyncio.sleep(0.02)

        task = asyncio.create_task(drip())
        await until(lambda: connections.count == 2)  # Those that have asked.

        async def ask() -> None:
            asking.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            await kept.readuntil(b"ok\n")

        async with asyncio.timeout(10):
            while connections.count == 2:
                await ask()
                await asyncio.sleep(0.02)
        await ask()
        await until(lambda: connections.count == 0)
        task.cancel()
        for reader in (silent, slow, kept):
            with pytest.raises((ConnectionError, EOFError)):
                await asyncio.wait_for(reader.readexactly(1), 1.0)
        del greedy


@pytest.mark.parametrize(
    "request_",
    [
        b"not HTTP at all\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(500)) + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100 + b"\r\n\r\n",
    ],
)
async def test_a_refused_request_is_one_line_at_most_and_no_traceback(
    request_: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with port(Connections(1024)) as url:
            reader, writer = await connect(url)
            writer.write(request_)
            answer = await asyncio.wait_for(reader.read(), 5.0)
            assert answer == b"" or b" 400 " in answer.split(b"\r\n")[0] or b"404" in answer
            writer.close()
            assert await get(f"{url}/healthz") == 200
    assert len(logs) <= 1
    assert all("exc_info" not in entry and "\n" not in json.dumps(entry) for entry in logs)
    assert "Traceback" not in "".join(capsys.readouterr())
