"""Reports of engines on worker pages of Dynamo 1.6.1, and of 1.7 as its source defines them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.model.spec.scaling import PlannerSource, ScalingSpec, SloScaling
from ecs_dynamo.signals.engine import EngineReport
from ecs_dynamo.signals.registry import Measurement, add_engine_signals
from ecs_dynamo.signals.worker import WorkerLoad, parse_worker
from tests.helpers.graphs import component, graph
from tests.unit.signals.recorded import PAGES

SCALED = SloScaling(max=4)
REPORTS = (
    EngineReport("prefill", None, 3.0),
    EngineReport("backend", 0.5, 0.0),
    EngineReport("backend", 0.1, 2.0),
)


@pytest.mark.parametrize(
    ("page", "report"),
    [
        ("1.6.1/worker-aggregated-running", EngineReport("backend", 0.0029296875, 8)),
        ("1.6.1/worker-decode-running", EngineReport("backend", 0.00445556640625, 0)),
        # The mock engine for prefill reports Dynamo's own queue only.
        ("1.6.1/worker-prefill-running", EngineReport("prefill", None, 0)),
        # Seven wait for admission, and three in the engine; the engine's own count is a part.
        ("1.7-by-source/worker-prefill", EngineReport("prefill", None, 10)),
    ],
)
def test_pages_of_workers(page: str, report: EngineReport) -> None:
    assert parse_worker((PAGES / f"{page}.txt").read_text()).engine == report


def test_an_unusable_value_of_an_engine_does_not_cost_the_worker_its_page() -> None:
    page = (PAGES / "1.6.1/worker-aggregated-running.txt").read_text()
    usage = "vllm:kv_cache_usage_perc"
    broken = page.replace(f"\n{usage}{{", f'\n{usage}{{engine="1"}} NaN\n{usage}{{')
    assert "NaN" in broken
    assert parse_worker(broken) == parse_worker(page)
    several = page.replace(f"\n{usage}{{", f'\n{usage}{{engine="1"}} 1\n{usage}{{')
    report = parse_worker(several).engine
    assert report is not None
    assert report.kv_usage == pytest.approx((1 + 0.0029296875) / 2)


def scaled(base: Graph, **scaling: ScalingSpec) -> Graph:
    components = tuple(replace(c, scaling=scaling.get(c.name, c.scaling)) for c in base.components)
    return replace(base, components=components)


def signals(load: WorkerLoad, of: Graph, *before: Signal) -> dict[tuple[str, str, str], float]:
    measured = Measurement(before, {}, {}, frozenset())
    after = add_engine_signals(measured, load, of, 7.0)
    return {(s.component, s.kind, s.source): s.value for s in after.signals}


def test_engines_report_for_the_scaled_components_of_their_role() -> None:
    both = scaled(graph(), prefill=SCALED, decode=SCALED)
    estimate = Signal("decode", SignalKind.KV_USAGE, 0.9, "share", 7.0, "frontend")
    other = Signal("decode", SignalKind.QUEUE_DEPTH, 4.0, "requests", 7.0, "frontend")
    assert signals(WorkerLoad(engines=REPORTS), both, estimate, other) == {
        ("decode", "queue_depth", "frontend"): 4,
        ("prefill", "waiting", "worker"): 3,
        ("decode", "kv_usage", "worker"): 0.3,
        ("decode", "waiting", "worker"): 2,
    }
    # A worker without an answer, or without that gauge, makes a sum or mean incomplete.
    silent = WorkerLoad(silent=1, engines=REPORTS)
    assert signals(silent, both, estimate) == {("decode", "kv_usage", "frontend"): 0.9}
    partial = WorkerLoad(engines=(*REPORTS, EngineReport("backend")))
    assert signals(partial, both) == {("prefill", "waiting", "worker"): 3}


def test_components_of_one_role_or_with_other_sources_have_no_report() -> None:
    planner = SloScaling(max=4, signals=(PlannerSource(source="planner"),))
    assert signals(WorkerLoad(engines=REPORTS), scaled(graph(), decode=planner)) == {}
    base = scaled(graph(), decode=SCALED)
    second = component("decode-2", Role.DECODE, scaling=SCALED)
    shared = replace(base, components=(*base.components, second))
    assert signals(WorkerLoad(engines=REPORTS), shared) == {}
