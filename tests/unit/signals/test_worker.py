"""What workers tell of themselves; the text is as Dynamo 1.6.1 gives it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ecs_dynamo.model.snapshot import Unknown
from ecs_dynamo.signals.registry import Measurement, with_own_word
from ecs_dynamo.signals.worker import SILENT_SECONDS, Workers, WorkerWork, parse_worker

LABELS = 'dynamo_component="backend",dynamo_endpoint="{}",dynamo_namespace="ns",worker_id="{}"'


def text(lease: int, in_flight: int, served: int) -> str:
    own, other = LABELS.format("generate", f"{lease:x}"), LABELS.format("clear", f"{lease:x}")
    return (
        "# TYPE dynamo_component_inflight_requests gauge\n"
        f"dynamo_component_inflight_requests{{{own}}} {in_flight}\n"
        f"dynamo_component_inflight_requests{{{other}}} 7\n"
        "# TYPE dynamo_component_requests_total counter\n"
        f"dynamo_component_requests_total{{{own}}} {served}\n"
        "# TYPE vllm:num_requests_running gauge\n"
        'vllm:num_requests_running{engine="0"} 1\n'
    )


def test_a_workers_own_work_is_told_by_its_lease() -> None:
    lease = 0x501FA20CC0E78F09
    made = parse_worker(text(lease, 2, 5))
    assert (made.busy, made.served) == ({lease: 2.0}, frozenset({lease}))
    idle = parse_worker(text(lease, 0, 0))
    assert (idle.busy, idle.served) == ({lease: 0.0}, frozenset())
    with pytest.raises(ValueError, match="html"):
        parse_worker("<html>")


async def test_who_does_not_answer_is_left_alone_for_a_while() -> None:
    calls: list[str] = []
    released = asyncio.Event()

    async def metrics(request: web.Request) -> web.Response:
        calls.append(request.path)
        if request.path.startswith("/mute"):
            await released.wait()
        status = 500 if request.path.startswith("/bad") else 200
        return web.Response(text=text(10, 1, 1), status=status)

    app = web.Application()
    app.router.add_get("/{who}/metrics", metrics)
    async with TestServer(app) as server:
        urls = {name: str(server.make_url(f"/{name}")) for name in ("good", "bad", "mute")}
        workers = Workers()
        first = await workers.ask(urls, 1000.0, 0.2)
        assert (first.busy, first.served, first.silent) == ({10: 1.0}, frozenset({10}), 2)
        again = await workers.ask(urls, 1001.0, 0.2)
        assert again.silent == 2
        # Who refuses is asked again, as that takes no time; who keeps one waiting is not.
        assert (calls.count("/bad/metrics"), calls.count("/mute/metrics")) == (2, 1)
        released.set()
        later = await workers.ask(urls, 1000.0 + SILENT_SECONDS, 2.0)
        assert later.silent == 1
        assert calls.count("/mute/metrics") == 2
        assert (await workers.ask({}, 2000.0, 2.0)).silent == 0


def test_what_frontends_and_workers_tell_is_put_together() -> None:
    unknown = Unknown("no frontend told")
    blind = Measurement((), {}, unknown, unknown)
    own = WorkerWork({1: 2.0, 2: 0.0}, frozenset({1}))
    both = with_own_word(Measurement((), {}, {1: 5.0, 3: 1.0}, frozenset({3})), own, asked=2)
    assert (both.busy, both.served) == (
        {1: 7.0, 2: 0.0, 3: 1.0},
        frozenset({1, 3}),
    )
    assert with_own_word(blind, own, asked=2).busy == {1: 2.0, 2: 0.0}
    # One that did not answer may be at work, and nobody else tells.
    assert with_own_word(blind, replace(own, silent=1), asked=3) == blind
    assert with_own_word(blind, WorkerWork(), asked=0) == blind
