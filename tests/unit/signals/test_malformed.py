"""Any answer of a replica costs bounded memory and time, and an error that names the replica.

Before reads were bounded, each of these pages made every pass of a graph fail, stored NaN, or kept
the event loop busy for a minute.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.discovery.etcd import parse_registration
from ecs_dynamo.discovery.exposition import MAX_LINE_BYTES, MAX_SAMPLES, MetricsReader
from ecs_dynamo.discovery.fetch import (
    DOCUMENT_BYTES,
    METRICS_BYTES,
    FetchError,
    MalformedError,
    fetch_json,
    fetch_metrics,
    parse_json,
)
from ecs_dynamo.discovery.probe import probe
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.spec.scaling import (
    FrontendSource,
    JetStreamSource,
    PrometheusSource,
    SloScaling,
)
from ecs_dynamo.signals.base import SignalContext, SignalError
from ecs_dynamo.signals.frontend.adapter import FrontendAdapter
from ecs_dynamo.signals.jetstream import JetStreamAdapter
from ecs_dynamo.signals.prometheus import PrometheusAdapter
from ecs_dynamo.signals.registry import SignalReader
from ecs_dynamo.signals.worker import Workers
from tests.helpers.graphs import (
    component,
    graph,
)
from tests.unit.signals.hostile import NEVER_ENDING, Answer, hostile_server

METRICS = frozenset({"dynamo_frontend_active_requests"})
PREFIX = "dynamo_frontend_"
GOOD = b"dynamo_frontend_active_requests 3\n"
PAGES = {
    "endless": (Answer(endless=NEVER_ENDING), "longer than"),
    "one line without an end": (Answer(endless=b"x" * 65536), "a line is longer than"),
    "one wanted line without an end": (
        Answer(body=b'dynamo_frontend_active_requests{a="', endless=b'\\"' * 9000),
        "a line is longer than",
    ),
    "slow": (Answer(body=GOOD, endless=b"#", pause=0.05), "no complete answer within 0.5 s"),
    "silent": (Answer(body=GOOD, endless=b"#", pause=30.0), "no complete answer within 0.5 s"),
    "cut off": (
        Answer(body=GOOD, headers=("Content-Length: 5000",)),
        "payload",
    ),
    "not UTF-8": (Answer(body=b'dynamo_frontend_active_requests{m="\xff\xfe"} 3\n'), "not UTF-8"),
    "HTML": (Answer(body=b"<html>hello</html>"), "not Prometheus text"),
    "binary": (Answer(body=bytes(range(256)) * 64), "not Prometheus text"),
    "compressed": (Answer(body=b"\x1f\x8b", headers=("Content-Encoding: gzip",)), "gzip"),
    "NaN": (Answer(body=b"dynamo_frontend_active_requests NaN\n"), "is nan"),
    "Inf": (Answer(body=b"dynamo_frontend_active_requests +Inf\n"), "is inf"),
    "negative": (Answer(body=b"dynamo_frontend_active_requests -7\n"), "is -7"),
    "absurd": (Answer(body=b"dynamo_frontend_active_requests 1e200\n"), "is 1e"),
    "huge integer": (
        Answer(body=b"dynamo_frontend_active_requests " + b"9" * 4000 + b"\n"),
        "is 999",
    ),
    "too many samples": (
        Answer(
            body=b"".join(
                b'dynamo_frontend_active_requests{a="%d"} 1\n' % n for n in range(MAX_SAMPLES + 1)
            )
        ),
        "more than",
    ),
    "redirected": (
        Answer(status="302 Found", headers=("Location: http://169.254.169.254/",)),
        "HTTP 302",
    ),
    "an error with a book": (
        Answer(status="500 Oh", endless=b"e" * 65536),
        "HTTP 500",
    ),
}


@pytest.mark.parametrize("name", PAGES)
async def test_a_malformed_metrics_page_costs_little_and_names_its_replica(name: str) -> None:
    answer, words = PAGES[name]
    async with hostile_server({"/metrics": answer}) as server, busy_loop() as longest:
        # The limit is short only for answers that never end. A slow machine must not hit it before
        # the limit on bytes that the other pages are about.
        limit = 0.5 if name in ("slow", "silent") else 60.0
        started = time.monotonic()
        with pytest.raises((FetchError, TimeoutError), match=words) as caught:
            await fetch_metrics(f"{server.url}/metrics", METRICS, PREFIX, timeout=limit)
        assert time.monotonic() - started < 30.0
        assert str(caught.value).startswith(server.url)
        assert len(str(caught.value)) < 1000
        assert server.sent["/metrics"] < METRICS_BYTES + 8 * 1024 * 1024
    assert longest() < 0.2


@asynccontextmanager
async def busy_loop() -> AsyncIterator[Callable[[], float]]:
    """Measure the longest time that the event loop was blocked, in seconds of CPU time.

    Wall time would include waiting for a CPU on a loaded machine. The heap that earlier tests left
    is hidden from the garbage collector meanwhile, as going through it takes a second.
    """
    longest = 0.0
    gc.collect()
    gc.freeze()

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.005)
            longest = max(longest, time.thread_time() - before)

    task = asyncio.create_task(tick())
    try:
        yield lambda: longest
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        gc.unfreeze()


async def test_a_page_of_four_mebibytes_is_read_without_holding_up_the_loop() -> None:
    other = b'vllm:request_seconds_bucket{engine="0",le="0.5",model="tiny"} 1234\n' * 64
    body = (other * (4 * 1024 * 1024 // len(other))) + GOOD
    async with hostile_server({"/metrics": Answer(body=body)}) as server, busy_loop() as longest:
        page = await fetch_metrics(f"{server.url}/metrics", METRICS, PREFIX, timeout=60.0)
    assert page.samples == (("dynamo_frontend_active_requests", {}, 3.0),)
    assert longest() < 0.2


@given(st.lists(st.integers(1, 40), max_size=40), st.integers(0, 5))
def test_a_page_reads_the_same_however_it_is_cut(cuts: list[int], lines: int) -> None:
    text = b"# TYPE dynamo_frontend_active_requests gauge\n" + b"".join(
        b'other_total{a="b"} 1\ndynamo_frontend_active_requests{model="m\\n%d"} %d\n' % (n, n)
        for n in range(lines)
    )
    reader, position = MetricsReader(METRICS, PREFIX), 0
    for cut in cuts:
        reader.feed(text[position : position + cut])
        position += cut
    reader.feed(text[position:])
    page = reader.end()
    assert page.known
    assert [value for _, _, value in page.samples] == [float(n) for n in range(lines)]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_page_or_a_value_error(data: bytes) -> None:
    for text in (data, GOOD[:-1] + data, b"dynamo_frontend_active_requests{" + data):
        reader = MetricsReader(METRICS, PREFIX)
        try:
            reader.feed(text)
            page = reader.end()
        except ValueError:
            continue
        assert all(0 <= value < 1e16 for _, _, value in page.samples)


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_json_or_a_value_error(data: bytes) -> None:
    for text in (data, b'{"transport": ' + data + b"}"):
        try:
            parse_json(text)
        except ValueError:
            continue


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xfe",
        b"not JSON",
        b"[]",
        b"{}",
        b'{"transport": {"tcp": 7}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"transport": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"transport": NaN}',
        b'{"transport": 1e999}',
    ],
)
def test_a_registration_that_cannot_be_read_is_a_value_error(value: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_registration("v1/instances/ns/backend/generate/1a", value)


MODELS = {
    "endless": (Answer(body=b'{"data": [', endless=b" " * 65536), "longer than"),
    "slow": (Answer(body=b'{"data": [', endless=b" ", pause=0.05), "no complete answer"),
    "not UTF-8": (Answer(body=b'{"data": [{"id": "\xff"}]}'), "not UTF-8"),
    "not JSON": (Answer(body=b"<html>"), "not JSON"),
    "deep": (Answer(body=b"[" * 100_000), "nested too deeply"),
    "deep and closed": (Answer(body=b'{"data":' + b"[" * 50 + b"]" * 50 + b"}"), "too deeply"),
    "another shape": (Answer(body=b"[1]"), "unexpected shape"),
    "a number": (Answer(body=b'{"data": 7}'), "unexpected shape"),
    "no id": (Answer(body=b'{"data": [{}]}'), "unexpected shape"),
    "control characters": (Answer(body=b'{"data": [{"id": "\\u001b[2J"}]}'), "the model id"),
    "a long id": (Answer(body=b'{"data": [{"id": "%s"}]}' % (b"m" * 10_000)), "the model id"),
    "NaN": (Answer(body=b'{"data": [{"id": NaN}]}'), "NaN is not allowed"),
}


@pytest.mark.parametrize("name", MODELS)
async def test_a_malformed_list_of_models_is_an_unhealthy_frontend(name: str) -> None:
    models, words = MODELS[name]
    answers = {"/live": Answer(body=b"ok"), "/v1/models": models}
    async with hostile_server(answers) as server:
        answer = await probe(Role.FRONTEND, server.url, 0.5)
        assert not answer.healthy
        assert words in answer.detail
        assert server.url in answer.detail
        assert server.sent["/v1/models"] < DOCUMENT_BYTES + 8 * 1024 * 1024


@pytest.mark.parametrize("role", [Role.NATS, Role.ETCD])
@pytest.mark.parametrize(
    "greeting", [b"INFO \xff\xfe\r\n", b"INFO {}\r\n" * 1000, b"\x00" * 70_000]
)
async def test_a_server_other_than_nats_or_etcd_is_an_unhealthy_replica(
    role: Role, greeting: bytes
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read(1000)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        scheme = "nats" if role is Role.NATS else "http"
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        answer = await probe(role, url, 1.0)
    assert not answer.healthy
    assert url in answer.detail


def context(urls: tuple[str, ...], now: float = 1000.0) -> SignalContext:
    return SignalContext(
        component("f", Role.FRONTEND), ("ns",), urls, Endpoints(), None, Now.at(now), 0.5
    )


async def test_a_frontend_with_a_malformed_page_does_not_hide_the_others() -> None:
    bad = Answer(body=b"dynamo_frontend_active_requests NaN\n")
    async with (
        hostile_server({"/metrics": Answer(body=GOOD)}) as good,
        hostile_server({"/metrics": bad}) as malformed,
    ):
        adapter = FrontendAdapter()
        with pytest.raises(SignalError, match=f"{malformed.url}/metrics: .* is nan") as caught:
            await adapter.read(FrontendSource(), context((good.url, malformed.url)))
        values = {s.kind: s.value for s in caught.value.partial}
        assert values == {"queue_depth": 3.0, "in_flight": 3.0, "waiting": 0.0}
        assert all(s.partial for s in caught.value.partial)
        # A worker that looks idle to one of them may be busy for the other.
        assert adapter.busy_at is None

        scaling = SloScaling(max=4, signals=(FrontendSource(),))
        scaled = graph()
        frontend = replace(scaled.component("frontend"), scaling=scaling)
        scaled = replace(scaled, components=(frontend,))
        measured = await SignalReader().measure(
            scaled,
            frontend_urls=(good.url, malformed.url),
            endpoints=Endpoints(),
            cloudwatch=None,
            now=Now.at(1000.0),
            timeout=0.5,
        )
    assert [s.value for s in measured.signals if s.kind == "queue_depth"] == [3.0]
    assert malformed.url in measured.problems["frontend"]


async def test_a_worker_with_a_malformed_page_is_named_and_the_others_count() -> None:
    line = 'dynamo_component_inflight_requests{dynamo_endpoint="generate",worker_id="%s"} %s\n'
    pages = {
        "good": line % ("a", "2"),
        "nan": line % ("b", "NaN"),
        "lease": line % ("f" * 40, "1"),
        "none": line % ("", "1"),
        "text": "<html>",
    }
    answers = {f"/{name}/metrics": Answer(body=page.encode()) for name, page in pages.items()}
    async with hostile_server(answers) as server:
        urls = {name: f"{server.url}/{name}" for name in pages}
        load = await Workers().ask(urls.values(), 1000.0, 0.5)
    assert load.busy == {10: 2.0}
    assert load.silent == 4
    assert set(load.malformed) == {urls[name] for name in ("nan", "lease", "none", "text")}
    assert all(f"{url}/metrics" in text for url, text in load.malformed.items())


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": {"resultType": "scalar", "result": [1000, "NaN"]}}',
        b'{"data": {"resultType": "scalar", "result": [1000, "-1"]}}',
        b'{"data": {"resultType": "scalar", "result": [1000, "1e300"]}}',
        b'{"data": {"resultType": "scalar", "result": [1e300, "1"]}}',
        b'{"data": {"resultType": "vector", "result": [{"value": []}]}}',
        b'{"data": {"resultType": "vector", "result": [7]}}',
        b'{"data": []}',
        b"\xff",
        b"[" * 100_000,
        b"7",
    ],
)
async def test_a_malformed_prometheus_answer_is_a_signal_error(body: bytes) -> None:
    async with hostile_server({"/api/v1/query?query=q": Answer(body=body)}) as server:
        source = PrometheusSource(source="prometheus", url=server.url, query="q")
        with pytest.raises(SignalError, match=server.url):
            await PrometheusAdapter().read(source, context(()))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", "unexpected answer"),
        (b'{"account_details": [7]}', "unexpected answer"),
        (b'{"account_details": 7}', "unexpected answer"),
        (
            b'{"account_details": [{"stream_detail": [{"consumer_detail": '
            b'[{"stream_name": "s", "name": "c", "num_pending": -5}]}]}]}',
            "is -5",
        ),
        (
            b'{"account_details": [{"stream_detail": [{"consumer_detail": '
            b'[{"stream_name": "s", "name": "c", "num_pending": "many"}]}]}]}',
            "unexpected answer",
        ),
        (
            b'{"account_details": [{"stream_detail": [{"consumer_detail": '
            b'[{"stream_name": "s", "name": "c", "num_redelivered": "many"}]}]}]}',
            "is not a number",
        ),
    ],
)
async def test_a_malformed_monitoring_page_is_a_signal_error(body: bytes, words: str) -> None:
    path = "/jsz?consumers=true&streams=true&accounts=true"
    async with hostile_server({path: Answer(body=body)}) as server:
        source = JetStreamSource(
            source="jetstream", stream="s", consumer="c", monitoring_url=server.url
        )
        with pytest.raises(SignalError, match=words):
            await JetStreamAdapter().read(source, context(()))


async def test_a_document_is_read_completely_up_to_its_size_limit() -> None:
    async with hostile_server({"/": Answer(body=b'"' + b"x" * 1000 + b'"')}) as server:
        assert await fetch_json(f"{server.url}/", timeout=1.0, max_bytes=1002) == "x" * 1000
        with pytest.raises(MalformedError, match="longer than 1001"):
            await fetch_json(f"{server.url}/", timeout=1.0, max_bytes=1001)


def test_a_single_line_has_a_size_limit() -> None:
    reader = MetricsReader(METRICS, PREFIX)
    with pytest.raises(ValueError, match="longer"):
        reader.feed(b'dynamo_frontend_active_requests{m="' + b"x" * MAX_LINE_BYTES + b'"} 1\n')
