"""Steady load: clients that send requests at a fixed rate, whatever the outcome of earlier ones.

Half of the clients stream. If the connection fails before an answer has begun, a client sends the
request once more, to the next frontend. (OpenAI's client would retry twice, and after a 5xx too.)
Everything else counts as a failure: a status other than 200, a stream that breaks off, an empty
answer, or no complete answer in time.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from benchmarks.chaos.account import Outcome
from ecs_dynamo.demo.traffic import read_answer

MODEL = "tiny"
CLIENTS = 6
PERIOD = 1.0
"""Seconds between two requests of one client."""
ANSWER_SECONDS = 30.0
"""Time limit for a complete answer."""
STREAM_TOKENS = 80
PLAIN_TOKENS = 8
WORDS = 20


class AnswerError(Exception):
    """The answer is invalid, or there is none."""


class UnansweredError(Exception):
    """The connection failed before an answer began."""


@dataclass(slots=True)
class Load:
    """Clients that distribute requests over the current ``frontends()`` in turn."""

    frontends: Callable[[], Sequence[str]]
    done: list[Outcome] = field(default_factory=list)
    _turn: itertools.count[int] = field(default_factory=itertools.count)
    _session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self, clients: int = CLIENTS, period: float = PERIOD) -> AsyncIterator[None]:
        """Send requests inside the context; at its end, wait for the requests in flight."""
        requests: set[asyncio.Task[None]] = set()

        async def client(number: int) -> None:
            """Send a request every ``period`` seconds, offset from the other clients'."""
            began = time.monotonic() + number * period / clients
            for turn in itertools.count():
                await asyncio.sleep(began + turn * period - time.monotonic())
                prompt = " ".join(f"w{number}x{turn}y{i}" for i in range(WORDS))
                request = asyncio.create_task(self.send(prompt, streamed=number % 2 == 0))
                requests.add(request)
                request.add_done_callback(requests.discard)

        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
        ) as self._session:
            tasks = [asyncio.create_task(client(n)) for n in range(clients)]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.gather(*requests)

    async def send(self, prompt: str, *, streamed: bool) -> None:
        """Send one request, with its retry, and record the outcome."""
        sent, attempts = time.monotonic(), 0
        error: str | None = "no ready frontend is known"
        while attempts < 2:
            urls = self.frontends()
            if not urls:
                break
            attempts += 1
            try:
                url = urls[next(self._turn) % len(urls)]
                await self._attempt(url, prompt, streamed=streamed)
            except UnansweredError as problem:
                error = str(problem)
                continue
            except (aiohttp.ClientError, TimeoutError, OSError) as problem:
                error = f"broken off: {type(problem).__name__}"
            except (AnswerError, ValueError) as problem:
                error = str(problem)[:120]
            else:
                error = None
            break
        self.done.append(Outcome(sent, time.monotonic(), streamed, attempts, error))

    async def _attempt(self, url: str, prompt: str, *, streamed: bool) -> None:
        if self._session is None:
            raise RuntimeError("no load is running")
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": STREAM_TOKENS if streamed else PLAIN_TOKENS,
            "stream": streamed,
        }
        try:
            answer = await self._session.post(f"{url}/v1/chat/completions", json=body)
        except TimeoutError:
            raise AnswerError(f"no answer within {ANSWER_SECONDS:.0f} s") from None
        except aiohttp.ClientConnectionError as problem:
            raise UnansweredError(f"not answered: {type(problem).__name__}") from None
        async with answer:
            text, _ = await read_answer(answer, stream=streamed)
            if not text:
                raise AnswerError(f"the {'stream' if streamed else 'answer'} is empty")
