"""Leadership by a lock in a real etcd: handover, fencing, and lost responses."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.config import load_settings
from ecs_dynamo.controller.daemon import loop as daemon
from ecs_dynamo.controller.daemon.graph_file import GraphFile
from ecs_dynamo.controller.daemon.run import run_daemon
from ecs_dynamo.controller.leadership.etcd import (
    PREFIX,
    EtcdLease,
)
from ecs_dynamo.controller.telemetry.events import EventRing
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.demo.daemon import DemoDaemon
from ecs_dynamo.discovery.etcd import open_etcd
from ecs_dynamo.model.errors import InputError
from tests.integration.servers import etcd_process
from tests.integration.stack import Stack, until
from tests.integration.test_lease import Clock, leader_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[str]:
    async with etcd_process(tmp_path) as url:
        yield url


async def test_one_holds_until_it_is_silent_for_a_lease(etcd: str) -> None:
    first, second = (EtcdLease((etcd,), "g", name, 2.0) for name in ("a", "b"))
    other = EtcdLease((etcd,), "h", "b", 2.0)
    assert await first.acquire()
    assert not await second.acquire()
    assert await other.acquire()  # Another graph has another lock.
    token = first.token

    async def taken() -> bool:
        won = await second.acquire()
        assert not (won and first.is_leader)
        return won

    await until("the silent leader's lock is free", taken, 15)  # At least 2 s.
    assert second.token > token
    assert not await first.acquire()
    await first.release()  # Releasing a lease that it does not hold has no effect.
    assert await second.acquire()
    await second.release()
    assert not second.is_leader
    assert await first.acquire()
    assert first.token > second.token


async def test_the_leader_goes_by_its_own_clock_and_fences_itself(etcd: str) -> None:
    clock = Clock()
    paused = EtcdLease((etcd,), "g", "paused", 30.0, clock)
    assert await paused.acquire()
    token = paused.token
    clock.now += 29  # It was stopped: it knows before any call that it must not act.
    assert not paused.is_leader
    async with open_etcd(etcd, 3.0) as client:
        await client.revoke_lease((await client.get(f"{PREFIX}g".encode())).lease)
    other = EtcdLease((etcd,), "g", "other", 30.0)
    assert await other.acquire()
    assert not await paused.acquire()
    await other.release()
    # It leads again, but decisions made under the old token must not be executed.
    assert await paused.acquire()
    assert paused.token > other.token > token


async def test_lost_answers_and_servers_that_are_gone(etcd: str) -> None:
    lost: list[str] = []

    class Losing:
        """An etcd client whose next response is lost after the call took effect."""

        def __init__(self, client: Any) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            method = getattr(self._client, name)
            if name not in lost:
                return method

            async def call(*words: Any, **named: Any) -> None:
                await method(*words, **named)
                lost.remove(name)
                raise ConnectionError(f"{name}: lost")

            return call

    @asynccontextmanager
    async def connect(url: str, timeout: float) -> AsyncIterator[Any]:
        async with open_etcd(url, timeout) as client:
            yield Losing(client)

    clock = Clock()
    lease = EtcdLease((etcd,), "g", "a", 30.0, clock, connect)
    rival = EtcdLease((etcd,), "g", "b", 30.0, clock)
    lost.append("transaction")
    assert not await lease.acquire()
    assert not await rival.acquire()
    assert await lease.acquire()  # It finds its own lock.
    token = lease.token
    lost.append("refresh_lease")
    assert await lease.acquire()  # It decides by what it knows.
    assert lease.token == token
    lost.append("revoke_lease")
    await lease.release()
    assert not lease.is_leader
    assert await rival.acquire()

    gone = EtcdLease(("http://127.0.0.1:1", etcd), "two", "a", 2.0)
    assert await gone.acquire()
    assert not await EtcdLease(("http://127.0.0.1:1",), "g", "a", 2.0).acquire()


def idle(url: str) -> Any:
    """The example's graph on an external etcd, with services and no tasks: converges quickly."""

    def change(graph: dict[str, Any]) -> None:
        graph["infrastructure"] = {"etcd": {"endpoints": [url]}}
        for component in graph["components"]:
            component["replicas"] = 0
            component.pop("scaling", None)

    return change


def log_entries(log: Path) -> list[dict[str, Any]]:
    lines = log.read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


async def test_daemons_hand_over_and_a_paused_leader_does_not_act(stack: Stack, etcd: str) -> None:
    stack.edit(idle(etcd))
    environ = stack.environ | {"ECS_DYNAMO_LEASE_ETCD": "true", "ECS_DYNAMO_LEASE_SECONDS": "2"}
    logs = [stack.folder / f"{n}.log" for n in range(3)]
    daemons = [DemoDaemon(stack.graph_file, environ, log) for log in logs]
    for daemon_process in daemons:
        await daemon_process.start()
    first = await leader_of(daemons, 20)
    await first.until("converged", lambda s: bool(s.get("converged")), 30)
    others = [d for d in daemons if d is not first]

    code, _ = await first.stop()  # Immediately on SIGTERM.
    assert code == 0
    paused = await leader_of(others, 5)
    (last,) = [d for d in others if d is not paused]

    paused.send(signal.SIGSTOP)
    await last.until("takes over", lambda s: bool(s.get("leads") and s.get("converged")), 15)
    log = logs[daemons.index(paused)]
    before = len(log_entries(log))
    stack.edit(lambda graph: graph["components"][0].update(replicas=1))  # For the leader.
    paused.send(signal.SIGCONT)
    await paused.until("follows", lambda s: s.get("leads") is False, 15)
    after = log_entries(log)[before:]
    assert not [line for line in after if line.get("kind") == "action"], after
    assert last.status.get("leads")

    last.kill()  # This is a crash.
    await paused.until("takes over", lambda s: bool(s.get("leads")), 15)
    code, _ = await paused.stop()
    assert code == 0


async def test_a_lock_needs_an_etcd_outside_of_the_graph(stack: Stack) -> None:
    settings = load_settings(stack.environ | {"ECS_DYNAMO_LEASE_ETCD": "true"}, http_port=0)
    with pytest.raises(InputError, match=r"ECS_DYNAMO_LEASE_ETCD.*LEASE_TABLE"):
        await asyncio.wait_for(run_daemon([stack.graph_file], stack.environ, settings), 20)
    with pytest.raises(InputError, match="contradict"):
        load_settings({"ECS_DYNAMO_LEASE_ETCD": "true", "ECS_DYNAMO_LEASE_TABLE": "t"})


class Regained:
    """A lease that seems held throughout, although another daemon had it in between."""

    token = 1
    seconds_left = 60.0

    async def acquire(self) -> bool:
        return True

    async def release(self) -> None:
        pass


async def test_a_pass_begun_under_another_token_does_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unconnected = Stack.on("http://127.0.0.1:1", tmp_path)
    lease = Regained()
    monkeypatch.setattr(daemon, "open_lease", lambda *_: lease)
    must_stop: list[bool] = []
    left: list[float] = []

    class Reconciler:
        def reset_memory(self) -> None:
            pass

        async def run_pass(
            self, should_stop: Callable[[], bool], seconds_left: Callable[[], float]
        ) -> None:
            must_stop.append(should_stop())
            left.append(seconds_left())
            lease.token = 2
            must_stop.append(should_stop())
            left.append(seconds_left())
            loop.stop()
            raise ConnectionError("enough observed")

    settings = load_settings(unconnected.environ)
    file = GraphFile(unconnected.graph_file, unconnected.environ)
    loop = daemon.GraphLoop(file, Reconciler(), settings, Metrics(), EventRing())  # type: ignore[arg-type]  # all that is asked of it here
    await asyncio.wait_for(loop.run(), 10)
    assert must_stop == [False, True]
    assert left == [60.0, 0.0]
