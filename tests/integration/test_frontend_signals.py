"""When each signal of the frontends moves, on real Dynamo with one slow worker."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Component, Role
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import SignalKind
from ecs_dynamo.model.spec.scaling import FrontendSource
from ecs_dynamo.signals.base import SignalContext
from ecs_dynamo.signals.frontend.adapter import FrontendAdapter
from tests.helpers.graphs import component
from tests.integration.dynamo_processes import SLOW, Dynamo, prompt, running_dynamo
from tests.integration.stack import Stack, until

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(180)]

PREFILL, DECODE = component("prefill", Role.PREFILL), component("decode", Role.DECODE)
RATES = frozenset(
    {
        SignalKind.ARRIVAL_RATE,
        SignalKind.REJECTION_RATE,
        SignalKind.COMPLETION_RATE,
        SignalKind.PROMPT_ARRIVAL_RATE,
        SignalKind.PROMPT_RATE,
        SignalKind.OUTPUT_RATE,
    }
)


class Passes:
    """The signals of one component, pass by pass.

    ``values`` are those of the last pass, ``totals`` the rates multiplied by the passes' seconds,
    and ``largest`` the largest value of each kind.
    """

    def __init__(self, dynamo: Dynamo, of: Component) -> None:
        self._dynamo, self._component = dynamo, of
        self._adapter = FrontendAdapter()
        self._at: float | None = None
        self.values: dict[SignalKind, float] = {}
        self.totals: Counter[SignalKind] = Counter()
        self.largest: dict[SignalKind, float] = {}

    async def run(self) -> None:
        """Run a pass."""
        now = time.monotonic()
        context = SignalContext(
            self._component, ("dynamo",), (self._dynamo.url,), Endpoints(), None, Now.at(now), 3.0
        )
        signals = await self._adapter.read(FrontendSource(), context)
        self.values = {s.kind: s.value for s in signals}
        for kind, value in self.values.items():
            self.largest[kind] = max(value, self.largest.get(kind, value))
            if kind in RATES and self._at is not None:
                self.totals[kind] += value * (now - self._at)  # type: ignore[assignment]
        self._at = now

    async def until(self, description: str, condition: Callable[[], bool]) -> None:
        """Run passes until the condition holds."""

        async def check() -> bool:
            await self.run()
            return condition()

        await until(description, check, 30)

    def clear(self) -> None:
        """Forget the totals and the largest values so far."""
        self.totals.clear()
        self.largest.clear()


@pytest.fixture
async def dynamo(tiny_model: Path, tmp_path: Path) -> AsyncIterator[Dynamo]:
    async with running_dynamo(tiny_model, tmp_path) as running:
        yield running


def prompt_tokens(answers: list[tuple[int, str]]) -> int:
    return sum(int(json.loads(body)["usage"]["prompt_tokens"]) for _, body in answers)


async def gathered(calls: list[Awaitable[tuple[int, str]]]) -> list[tuple[int, str]]:
    return list(await asyncio.gather(*calls))


@pytest.mark.parametrize("router", ["kv", "round-robin"])
async def test_signals_move_when_the_work_that_they_measure_does(
    dynamo: Dynamo, router: str
) -> None:
    await dynamo.start_frontend("--router-mode", router)
    dynamo.start_worker("prefill", *SLOW)
    limits = {"DYN_ENGINE_REQUEST_LIMIT": "2", "DYN_DYNAMO_REQUEST_QUEUE_LIMIT": "0"}
    dynamo.start_worker("decode", "--max-num-seqs", "4", "--speedup-ratio", "0.3", **limits)
    await until("the model is listed", dynamo.served, 30)
    assert (await dynamo.chat("Say hello.", 4))[0] == 200
    prefill, decode = Passes(dynamo, PREFILL), Passes(dynamo, DECODE)
    await prefill.run()
    await decode.run()

    # Prompts count at arrival, before prefill has begun with most of them.
    load = asyncio.ensure_future(gathered([dynamo.chat(prompt(n), 4) for n in range(8)]))
    await prefill.until(
        "all prompts arrived", lambda: prefill.totals[SignalKind.ARRIVAL_RATE] > 7.9
    )
    await prefill.until(
        "their tokens counted", lambda: prefill.totals[SignalKind.PROMPT_ARRIVAL_RATE] > 9000
    )
    assert prefill.totals[SignalKind.PROMPT_RATE] < prefill.totals[SignalKind.PROMPT_ARRIVAL_RATE]
    assert prefill.largest[SignalKind.WAITING] >= 5
    await decode.run()
    assert decode.values[SignalKind.UPSTREAM] >= 4
    answers = await load
    assert {status for status, _ in answers} == {200}
    await prefill.until("nothing waits", lambda: prefill.values[SignalKind.IN_FLIGHT] == 0)
    tokens = prompt_tokens(answers)
    for kind in (SignalKind.PROMPT_ARRIVAL_RATE, SignalKind.PROMPT_RATE):
        assert prefill.totals[kind] == pytest.approx(tokens)
    assert prefill.totals[SignalKind.OUTPUT_RATE] == pytest.approx(8 * 4)
    assert prefill.totals[SignalKind.REJECTION_RATE] == 0

    # Output tokens count while the only request generates them.
    await decode.run()
    decode.clear()
    long = asyncio.ensure_future(dynamo.chat("Tell a long story.", 150))
    await decode.until("tokens are generated", lambda: decode.totals[SignalKind.OUTPUT_RATE] >= 20)
    assert not long.done()
    assert decode.totals[SignalKind.COMPLETION_RATE] == 0
    assert decode.values[SignalKind.QUEUE_DEPTH] == 1
    assert decode.values[SignalKind.WAITING] == 0
    assert (await long)[0] == 200
    await decode.until("the answer ended", lambda: decode.values[SignalKind.IN_FLIGHT] == 0)
    assert decode.totals[SignalKind.OUTPUT_RATE] == pytest.approx(150)
    assert 0.005 < decode.largest[SignalKind.ITL] < 0.5
    assert (SignalKind.KV_USAGE in decode.largest) == (router == "kv")

    # Decode takes two requests at once and queues none: the others are refused (529).
    decode.clear()
    answers = await gathered([dynamo.chat(f"Hello {n}.", 100) for n in range(6)])
    statuses = Counter(status for status, _ in answers)
    assert set(statuses) == {200, 529}
    await decode.run()
    assert decode.totals[SignalKind.REJECTION_RATE] == pytest.approx(statuses[529])
    assert decode.totals[SignalKind.ARRIVAL_RATE] == pytest.approx(6)

    # Without a role the frontend disables its endpoints, and it counts no request.
    await dynamo.stop("decode")

    async def refused() -> bool:
        return (await dynamo.chat("Hello.", 1))[0] == 404

    await until("the model is gone", refused, 45)
    await decode.run()
    decode.clear()
    assert await dynamo.chat("Hello.", 1) == (404, "")
    await decode.run()
    assert decode.totals[SignalKind.ARRIVAL_RATE] == 0
    assert decode.totals[SignalKind.REJECTION_RATE] == 0


async def test_a_pass_has_the_signals_of_frontends_and_engines(stack: Stack) -> None:
    def scaled(document: dict[str, Any]) -> None:
        for entry in document["components"]:
            if entry["name"] in ("prefill", "decode"):
                entry["scaling"] = {"min": 1, "max": 2}

    stack.edit(scaled)
    await stack.converge()
    await stack.chat()
    signals = (await stack.observe()).snapshot.signals
    values = {(s.component, s.kind, s.source): s.value for s in signals}
    assert values["decode", SignalKind.KV_USAGE, "worker"] == 0
    for name in ("prefill", "decode"):
        for source in ("frontend", "worker"):
            assert values[name, SignalKind.WAITING, source] == 0
