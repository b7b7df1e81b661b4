"""doctor reports namespaces in etcd that the frontends' prefix would match, too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_dynamo.doctor.checks.namespaces import check_namespaces
from ecs_dynamo.model.doctor import Severity
from ecs_dynamo.model.generations import GenerationMode, Generations
from ecs_dynamo.model.snapshot import Observed, Unknown
from tests.helpers.graphs import graph


@pytest.mark.parametrize(
    ("mode", "namespaces", "severity", "evidence"),
    [
        (GenerationMode.IN_FORCE, frozenset({"ns-gpu"}), Severity.ERROR, "etcd has ns-gpu"),
        (GenerationMode.IN_FORCE, frozenset({"ns-large"}), Severity.OK, "no other namespace"),
        (GenerationMode.PLAIN, frozenset({"ns-large"}), Severity.WARNING, "not adopted yet"),
        (GenerationMode.ADOPTING, frozenset({"ns-large"}), Severity.ERROR, "prefix ns matches"),
        (GenerationMode.IN_FORCE, Unknown("no answer"), Severity.UNKNOWN, "listed: no answer"),
    ],
)
def test_namespaces_of_others_are_reported_with_a_remedy(
    mode: GenerationMode,
    namespaces: Observed[frozenset[str]],
    severity: Severity,
    evidence: str,
) -> None:
    effective = replace(graph(), generations=Generations(mode))
    (finding,) = check_namespaces(effective, namespaces)
    assert finding.severity is severity
    assert evidence in finding.evidence
    assert bool(finding.remedy) is (severity is not Severity.OK)
    assert finding.remedy not in finding.evidence or not finding.remedy


def test_graphs_without_generations_have_no_prefix() -> None:
    assert list(check_namespaces(graph(), frozenset({"ns-gpu"}))) == []
