"""Steady load: clients that each send at a fixed rate, whatever becomes of what they sent before.

Half of them stream. A client does what OpenAI's own does with a connection that fails before an
answer has begun, only less often: it sends the request again, once, to the next frontend (OpenAI's
client would do so twice, and after a 5xx as well). Whatever else goes wrong is a failure: a status
other than 200, a stream that breaks off, an empty answer, none within the time.
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
"""A request without a whole answer by then has failed."""
STREAM_TOKENS = 80
PLAIN_TOKENS = 8
WORDS = 20


class AnswerError(Exception):
    """The answer is not what was asked for."""


class Unanswered(Exception):  # noqa: N818 (it is what is sent again, not an error of its own)
    """The connection failed before an answer began."""


@dataclass(slots=True)
class Load:
    """Clients of whatever ``frontends()`` names at the moment, one after another in turn."""

    frontends: Callable[[], Sequence[str]]
    done: list[Outcome] = field(default_factory=list)
    _turn: itertools.count[int] = field(default_factory=itertools.count)
    _session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self, clients: int = CLIENTS, period: float = PERIOD) -> AsyncIterator[None]:
        """Send until left, then wait for what is under way."""
        requests: set[asyncio.Task[None]] = set()

        async def client(number: int) -> None:
            """One client: its requests are ``period`` apart, and apart from the others'."""
            began = time.monotonic() + number * period / clients
            for turn in itertools.count():
                await asyncio.sleep(began + turn * period - time.monotonic())
                prompt = " ".join(f"w{number}x{turn}y{i}" for i in range(WORDS))
                one = asyncio.create_task(self.ask(prompt, streamed=number % 2 == 0))
                requests.add(one)
                one.add_done_callback(requests.discard)

        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
        ) as self._session:
            sending = [asyncio.create_task(client(n)) for n in range(clients)]
            try:
                yield
            finally:
                for one in sending:
                    one.cancel()
                await asyncio.gather(*sending, return_exceptions=True)
                await asyncio.gather(*requests)

    async def ask(self, prompt: str, *, streamed: bool) -> None:
        """One request with its retry; its outcome is kept."""
        sent, attempts = time.monotonic(), 0
        error: str | None = "no ready frontend is known"
        while attempts < 2:
            urls = self.frontends()
            if not urls:
                break
            attempts += 1
            try:
                await self._ask(urls[next(self._turn) % len(urls)], prompt, streamed)
            except Unanswered as problem:
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

    async def _ask(self, url: str, prompt: str, streamed: bool) -> None:
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
            raise Unanswered(f"not answered: {type(problem).__name__}") from None
        async with answer:
            text, _ = await read_answer(answer, stream=streamed)
            if not text:
                raise AnswerError(f"the {'stream' if streamed else 'answer'} is empty")
