"""A server on loopback that gives invalid answers over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

NEVER_ENDING = b"# HELP x y\n" * 6000


@dataclass
class Answer:
    """A body, followed by ``pieces`` times ``endless``, one every ``pause`` seconds."""

    body: bytes = b""
    endless: bytes = b""
    pause: float = 0.0
    status: str = "200 OK"
    headers: tuple[str, ...] = ()
    pieces: int = 1_000_000


@dataclass
class Hostile:
    """A running server. ``sent`` counts the body bytes sent, by path."""

    url: str
    answers: Mapping[str, Answer]
    sent: dict[str, int] = field(default_factory=dict)


@asynccontextmanager
async def hostile_server(answers: Mapping[str, Answer]) -> AsyncIterator[Hostile]:
    """Serve ``answers`` by path, and HTTP 404 for every other path."""
    hostile = Hostile("", answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ")[1].decode()
            answer = answers.get(path, Answer(status="404 Not Found"))
            head = [f"HTTP/1.1 {answer.status}", "Connection: close", *answer.headers]
            writer.write("\r\n".join((*head, "", "")).encode() + answer.body)
            hostile.sent[path] = len(answer.body)
            await writer.drain()
            for _ in range(answer.pieces if answer.endless else 0):
                writer.write(answer.endless)
                hostile.sent[path] += len(answer.endless)
                await writer.drain()
                await asyncio.sleep(answer.pause)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The client has closed the connection, as it should, or the test is over.
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        hostile.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield hostile
