"""Workers' own metrics pages, with text as Dynamo 1.6.1 writes it."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ecs_dynamo.model.dynamo.discovery import (
    NoAnswer,
    WorkerPage,
)
from ecs_dynamo.model.snapshot import Unknown
from ecs_dynamo.signals.registry import Measurement, add_worker_report
from ecs_dynamo.signals.worker import WorkerLoad, Workers, parse_worker

LABELS = 'dynamo_component="backend",dynamo_endpoint="{}",dynamo_namespace="ns",worker_id="{}"'


def text(lease: int, in_flight: int, served: int) -> str:
    labels, other = LABELS.format("generate", f"{lease:x}"), LABELS.format("clear", f"{lease:x}")
    return (
        "# TYPE dynamo_component_inflight_requests gauge\n"
        f"dynamo_component_inflight_requests{{{labels}}} {in_flight}\n"
        f"dynamo_component_inflight_requests{{{other}}} 7\n"
        "# TYPE dynamo_component_requests_total counter\n"
        f"dynamo_component_requests_total{{{labels}}} {served}\n"
        "# TYPE vllm:num_requests_running gauge\n"
        'vllm:num_requests_running{engine="0"} 1\n'
    )


def test_a_workers_load_is_reported_by_lease() -> None:
    lease = 0x501FA20CC0E78F09
    busy = parse_worker(text(lease, 2, 5))
    assert (busy.busy, busy.served) == ({lease: 2.0}, frozenset({lease}))
    idle = parse_worker(text(lease, 0, 0))
    assert (idle.busy, idle.served) == ({lease: 0.0}, frozenset())
    with pytest.raises(ValueError, match="html"):
        parse_worker("<html>")


def test_a_page_names_its_worker_before_the_first_request() -> None:
    lease = 0x694DA21A14D04405
    answer = parse_worker(
        "# TYPE dynamo_component_uptime_seconds gauge\n"
        f'dynamo_component_uptime_seconds{{worker_id="{lease:x}"}} 11.5\n'
    )
    assert (answer.lease_ids, answer.uptime) == (frozenset({lease}), 11.5)


async def test_each_worker_is_read_in_each_pass_and_its_last_answer_is_kept() -> None:
    calls: list[str] = []
    muted = asyncio.Event()
    released = asyncio.Event()
    clock = iter([100.0, 101.5, 104.0])

    async def metrics(request: web.Request) -> web.Response:
        calls.append(request.path)
        if request.path.startswith("/mute") and muted.is_set():
            await released.wait()
        status = 500 if request.path.startswith("/bad") else 200
        return web.Response(text=text(10, 1, 1), status=status)

    app = web.Application()
    app.router.add_get("/{who}/metrics", metrics)
    async with TestServer(app) as server:
        good, bad, mute = (str(server.make_url(f"/{name}")) for name in ("good", "bad", "mute"))
        workers = Workers(lambda: next(clock))
        first = await workers.ask({good, bad, mute}, 1000.0, 0.5)
        assert (first.busy, first.served, first.silent) == ({10: 1.0}, frozenset({10}), 1)
        page = WorkerPage(frozenset({10}))
        refused = first.pages[bad]
        assert first.pages == {good: page, mute: page, bad: refused}
        assert isinstance(refused, NoAnswer)
        assert (refused.seconds, refused.last) == (0.0, None)
        assert (refused.spoke, refused.reached) == (True, True)
        muted.set()
        again = await workers.ask({good, bad, mute}, 1001.5, 0.2)
        hung = again.pages[mute]
        assert isinstance(hung, NoAnswer)
        assert (hung.seconds, hung.last, again.silent) == (1.5, page, 2)
        assert (hung.spoke, hung.reached) == (False, True)
        released.set()
        later = await workers.ask({good, mute}, 1004.0, 2.0)
        assert later.pages == {good: page, mute: page}
        assert calls.count("/mute/metrics") == 3


async def test_an_unreachable_host_is_distinguished_from_a_hung_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unreachable(_: str) -> bool:
        return False

    monkeypatch.setattr("ecs_dynamo.signals.worker.host_answers", unreachable)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    page = (await Workers().ask([url], 1000.0, 0.5)).pages[url]
    assert isinstance(page, NoAnswer)
    assert (page.spoke, page.reached) == (False, False)


async def test_closed_ports_take_no_time_from_those_that_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ecs_dynamo.signals.worker.MAX_CONCURRENT", 1)
    forever = asyncio.Event()

    async def metrics(request: web.Request) -> web.Response:
        if request.path.startswith("/a"):
            await forever.wait()
        return web.Response(text=text(10, 1, 1))

    app = web.Application()
    app.router.add_get("/{who}/metrics", metrics)
    async with TestServer(app) as server:
        closed = [str(server.make_url(f"/a{number}")) for number in range(3)]
        answers = str(server.make_url("/z"))
        workers = Workers()
        first = await workers.ask([*closed, answers], 1000.0, 0.1)
        assert isinstance(first.pages[answers], NoAnswer)
        for _ in range(5):
            again = await workers.ask([*closed, answers], 1001.0, 0.1)
        assert again.pages[answers] == WorkerPage(frozenset({10}))
        assert again.silent == len(closed)
        forever.set()
        assert (await workers.ask([], 1002.0, 0.1)).silent == 0


def test_the_reports_of_frontends_and_workers_are_combined() -> None:
    unknown = Unknown("no frontend reported it")
    blind = Measurement((), {}, unknown, unknown)
    report = WorkerLoad({1: 2.0, 2: 0.0}, frozenset({1}))
    both = add_worker_report(
        Measurement((), {}, {1: 5.0, 3: 1.0}, frozenset({3})), report, worker_count=2
    )
    assert (both.busy, both.served) == (
        {1: 7.0, 2: 0.0, 3: 1.0},
        frozenset({1, 3}),
    )
    assert add_worker_report(blind, report, worker_count=2).busy == {1: 2.0, 2: 0.0}
    # A worker that did not answer may be busy, and no frontend reports on it.
    assert add_worker_report(blind, replace(report, silent=1), worker_count=3) == blind
    assert add_worker_report(blind, WorkerLoad(), worker_count=0) == blind
