"""Lost replicas among workers that chose their ports."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from ecs_dynamo.model.dynamo.discovery import (
    ModelCard,
    NoAnswer,
    WorkerPage,
)
from ecs_dynamo.model.plan import Plan, StopTask
from ecs_dynamo.model.snapshot import (
    Snapshot,
    Unknown,
)
from ecs_dynamo.planning import plan
from tests.helpers.facts import degraded
from tests.helpers.sick_replicas import (
    STEP,
    Ward,
    running,
)
from tests.helpers.simulated_services import lease_of


def choosing(
    snapshot: Snapshot,
    hosts: list[str],
    registered: int,
    silent: float = -1,
    *,
    identified: bool = False,
) -> Snapshot:
    """The decode workers have chosen their ports, and run on ``hosts``. The last ``registered`` of
    them are registered. The first has been silent for ``silent`` seconds, if not below 0. They
    report the ids of their tasks if they are ``identified``.
    """
    observed = snapshot.components["decode"]
    contents = {}
    for arn, item in observed.revisions.items():
        (container,) = item.content["containerDefinitions"]
        others = [e for e in container["environment"] if e["name"] != "DYN_SYSTEM_PORT"]
        container = {
            **container,
            "environment": [*others, {"name": "DYN_SYSTEM_PORT", "value": "0"}],
        }
        contents[arn] = replace(item, content={**item.content, "containerDefinitions": [container]})
    tasks = tuple(
        replace(t, private_ip=host)
        for t, host in zip(running(snapshot, "decode"), hosts, strict=True)
    )
    assert not isinstance(snapshot.registrations, Unknown)
    registrations = [r for r in snapshot.registrations if r.component == "prefill"]
    former = {t.private_ip for t in running(snapshot, "decode")}
    pages = {url: p for url, p in snapshot.pages.items() if urlsplit(url).hostname not in former}
    for number, task in enumerate(tasks):
        lease = lease_of(task.arn)
        url = f"http://{task.private_ip}:{40_000 + number}"
        page = WorkerPage(frozenset({lease}), task.started_at)
        if number >= len(tasks) - registered:
            own = next(r for r in snapshot.registrations if r.lease_id == lease)
            card = ModelCard(url, task.arn.rsplit("/", 1)[-1] if identified else None)
            registrations.append(replace(own, address=task.private_ip, card=card))
            mute = NoAnswer("no answer", silent, page, reached=True)
            pages[url] = mute if number == 0 and silent >= 0 else page
    parts = {**snapshot.components, "decode": replace(observed, tasks=tasks, revisions=contents)}
    return replace(snapshot, registrations=tuple(registrations), pages=pages, components=parts)


class Later:
    """Passes over snapshots that are made up, 5 s apart; nothing that is planned is done."""

    def __init__(self, ward: Ward) -> None:
        self.ward, self.memory, self.passes = ward, ward.memory, 0
        self.stopped: list[str] = []

    def pass_(self, snapshot: Snapshot) -> Plan:
        at, later = self.ward.ecs.clock, STEP * self.passes
        now = replace(at, monotonic=at.monotonic + later, wall=at.wall + later)
        result = plan(self.ward.graph, snapshot, self.memory, now)
        self.memory, self.passes = result.memory, self.passes + 1
        self.stopped += [a.task for a in result.actions if isinstance(a, StopTask)]
        return result


def test_who_is_lost_is_not_guessed_among_workers_that_chose_their_ports() -> None:
    """Two tasks of one revision on one host, started together, and one registration."""
    ward = Ward(decode=2)
    snapshot, later = ward.observe(), Later(ward)
    hosts = ["10.9.0.1", "10.9.0.1"]
    later.pass_(choosing(snapshot, hosts, 2))
    for _ in range(60):
        result = later.pass_(choosing(snapshot, hosts, 1))
    assert degraded(result, "decode") == "ReplicaLost"
    assert later.stopped == []


@pytest.mark.parametrize(
    ("hangs", "reason", "passes"), [(False, "RegistrationLost", 20), (True, "ReplicaHangs", 40)]
)
def test_who_is_lost_is_known_among_workers_that_report_their_tasks(
    hangs: bool, reason: str, passes: int
) -> None:
    ward = Ward(decode=4)
    snapshot, later = ward.observe(), Later(ward)
    hosts = ["10.9.0.1"] * 4
    later.pass_(choosing(snapshot, hosts, 4, identified=True))
    while not later.stopped:
        registered, silent = (4, STEP * later.passes) if hangs else (3, -1.0)
        result = later.pass_(choosing(snapshot, hosts, registered, silent, identified=True))
        assert later.passes < passes
    assert degraded(result, "decode") == reason
    assert later.stopped == [running(snapshot, "decode")[0].arn]


def test_one_that_chose_its_port_and_hangs_is_known_when_its_page_is_not_any_more() -> None:
    ward = Ward(decode=2)
    snapshot, later = ward.observe(), Later(ward)
    hosts = ["10.9.0.1", "10.9.0.2"]
    later.pass_(choosing(snapshot, hosts, 2))
    for number in range(1, 4):
        result = later.pass_(choosing(snapshot, hosts, 2, silent=STEP * number))
    assert degraded(result, "decode") == "ReplicaHangs"
    assert later.stopped == []
    while not later.stopped:  # Its model card is gone too: nobody knows its port.
        result = later.pass_(choosing(snapshot, hosts, 1))
        assert degraded(result, "decode") == "ReplicaHangs"
        assert later.passes < 8
    assert later.stopped == [running(snapshot, "decode")[0].arn]
