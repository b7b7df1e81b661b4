"""The signals of a component from frontends over sockets, in two passes."""

from __future__ import annotations

import pytest

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Component, Role
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.spec.scaling import FrontendSource, SloScaling
from ecs_dynamo.signals.base import SignalContext, SignalError
from ecs_dynamo.signals.frontend.adapter import FrontendAdapter
from tests.helpers.graphs import component
from tests.unit.signals.hostile import Answer, hostile_server
from tests.unit.signals.recorded import PAGES

PREFILL, DECODE = component("p", Role.PREFILL), component("d", Role.DECODE)


def answer(page: str) -> Answer:
    return Answer(body=(PAGES / f"1.6.1/kv-disaggregated-{page}.txt").read_bytes())


def context(of: Component, url: str, now: float, *others: str) -> SignalContext:
    return SignalContext(of, ("ns",), (url, *others), Endpoints(), None, Now.at(now), 0.5)


async def read(adapter: FrontendAdapter, at: SignalContext) -> dict[str, float]:
    return {s.kind: s.value for s in await adapter.read(FrontendSource(), at)}


async def test_signals_of_prefill_and_decode_in_two_passes() -> None:
    answers = {"/metrics": answer("listed")}
    adapter = FrontendAdapter()
    async with hostile_server(answers) as server:
        idle = await read(adapter, context(PREFILL, server.url, 1000.0))
        assert idle == {"queue_depth": 0, "in_flight": 0, "waiting": 0}
        answers["/metrics"] = answer("arrived")
        prefill = await read(adapter, context(PREFILL, server.url, 1010.0))
        # The frontend is read once per pass, whatever its page says in the meantime.
        answers["/metrics"] = answer("done")
        decode = await read(adapter, context(DECODE, server.url, 1010.0))
    graph = {
        "in_flight": 12,
        "arrival_rate": 1.3,
        "rejection_rate": 0,
        "completion_rate": 0.1,
        "prompt_token_rate": 147.5,
        "output_token_rate": 1.5,
        "itl_seconds": pytest.approx(0.0191, abs=1e-4),
        "cached_share": 0,
    }
    assert prefill == graph | {
        "queue_depth": 11,
        "waiting": 11,
        "prompt_arrival_rate": 1784.3,
    }
    assert decode == graph | {
        "queue_depth": 1,
        "waiting": 0,
        "upstream": 11,
        "prompt_arrival_rate": 147.5,
        "kv_usage": 22 / 16384,
    }


async def test_late_first_tokens_of_a_component_with_a_target() -> None:
    """Seven first tokens came after the page ``running``; five of them took more than a second."""
    answers, adapter = {"/metrics": answer("running")}, FrontendAdapter()
    scaling = SloScaling(max=4, target_ttft_seconds=1.0)
    with_target = component("p", Role.PREFILL, scaling=scaling)
    async with hostile_server(answers) as server:
        await read(adapter, context(with_target, server.url, 1000.0))
        answers["/metrics"] = answer("done")
        values = await read(adapter, context(with_target, server.url, 1002.0))
        assert values["late_share"] == pytest.approx(5 / 7)
        without = await read(adapter, context(PREFILL, server.url, 1002.0))
        assert "late_share" not in without


async def test_there_is_no_rate_over_some_of_the_frontends_only() -> None:
    answers, others = {"/metrics": answer("listed")}, {"/metrics": answer("listed")}
    adapter = FrontendAdapter()
    async with hostile_server(answers) as server, hostile_server(others) as other:
        await read(adapter, context(PREFILL, server.url, 1000.0, other.url))
        del others["/metrics"]
        answers["/metrics"] = answer("arrived")
        with pytest.raises(SignalError, match="HTTP 404") as caught:
            await read(adapter, context(PREFILL, server.url, 1010.0, other.url))
        assert {s.kind for s in caught.value.partial} == {"queue_depth", "in_flight", "waiting"}
        others["/metrics"] = answer("arrived")
        again = await read(adapter, context(PREFILL, server.url, 1020.0, other.url))
        assert again["arrival_rate"] == pytest.approx(2 * 13 / 20)
