"""doctor's checks of Cloud Map services and namespaces."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_dynamo.doctor.checks.names import check_names
from ecs_dynamo.model.doctor import CloudMapService, Severity
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import Observed, Unknown
from tests.helpers.graphs import (
    graph,
    redeclared,
)
from tests.unit.planning.test_names import ARN, connected

NAME = "infra.dynamo.local"


def mapped() -> Graph:
    base = graph()
    first, *rest = base.components
    named = redeclared(first, service_registry=ARN)
    return replace(base, components=(named, *rest), names=dict.fromkeys(first.roles, NAME))


@pytest.mark.parametrize(
    ("observed", "severity", "words"),
    [
        (CloudMapService(NAME, 10), Severity.OK, "TTL 10 s"),
        (CloudMapService(NAME, 60), Severity.WARNING, "stays in use"),
        (CloudMapService(NAME, None), Severity.ERROR, "no A records"),
        (CloudMapService("nats.dynamo.local", 10), Severity.ERROR, f"not {NAME}"),
        (None, Severity.ERROR, "does not exist"),
        (Unknown("denied"), Severity.UNKNOWN, "denied"),
    ],
)
def test_a_service_must_answer_to_its_name(
    observed: Observed[CloudMapService | None], severity: Severity, words: str
) -> None:
    (finding,) = check_names(mapped(), {ARN: observed}, {})
    assert (finding.severity, words in finding.evidence) == (severity, True)


@pytest.mark.parametrize(
    ("observed", "severity"),
    [(True, Severity.OK), (False, Severity.ERROR), (Unknown("denied"), Severity.UNKNOWN)],
)
def test_a_namespace_must_be_there(observed: Observed[bool], severity: Severity) -> None:
    (finding,) = check_names(connected(graph()), {}, {"dynamo": observed})
    assert finding.severity == severity


def test_a_graph_without_names_has_no_findings() -> None:
    assert not list(check_names(graph(), {}, {}))
