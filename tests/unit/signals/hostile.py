"""A server that answers what no replica should: on loopback, as real sockets do it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

NEVER_ENDING = b"# HELP x y\n" * 6000


@dataclass
class Answer:
    """A body, then (``endless``) more of ``piece`` every ``pause`` seconds until hung up on."""

    body: bytes = b""
    endless: bytes = b""
    pause: float = 0.0
    status: str = "200 OK"
    headers: tuple[str, ...] = ()
    pieces: int = 1_000_000


@dataclass
class Hostile:
    """``sent`` counts the bytes of bodies by path."""

    url: str
    answers: Mapping[str, Answer]
    sent: dict[str, int] = field(default_factory=dict)


@asynccontextmanager
async def hostile_server(answers: Mapping[str, Answer]) -> AsyncIterator[Hostile]:
    """Serve ``answers`` by path; HTTP 404 for the others."""
    made = Hostile("", answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ")[1].decode()
            answer = answers.get(path, Answer(status="404 Not Found"))
            head = [f"HTTP/1.1 {answer.status}", "Connection: close", *answer.headers]
            writer.write("\r\n".join((*head, "", "")).encode() + answer.body)
            made.sent[path] = len(answer.body)
            await writer.drain()
            for _ in range(answer.pieces if answer.endless else 0):
                writer.write(answer.endless)
                made.sent[path] += len(answer.endless)
                await writer.drain()
                await asyncio.sleep(answer.pause)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The other side has hung up, which is what it should, or the test is over.
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made
