"""No other namespace in an etcd may match the frontends' prefix, before workers are mixed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_dynamo.model.generations import (
    GenerationMode,
    Generations,
    frontend_prefix,
    generation_in,
    is_own_namespace,
    shorter_namespaces,
)
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.snapshot import Unknown
from ecs_dynamo.planning.desired.generations.clashes import (
    clashing_graphs,
    describe_graph_clash,
    find_clash,
    served_too,
    serving_namespaces,
    why_adoption_waits,
    why_prefix_waits,
    why_workers_wait,
)
from tests.helpers.graphs import component, graph

OWN = ("qwen", "qwen-g1a2b3c4d", "qwen-gdeadbeef")
FOREIGN = ("qwen-gpu", "qwen-large-g1a2b3c4d", "qwen2")
ALL = frozenset((*OWN, *FOREIGN))


def of_mode(mode: GenerationMode, namespace: str = "qwen") -> Graph:
    return replace(graph(), namespace=namespace, generations=Generations(mode))


def test_a_namespace_of_a_generation_is_recognized_by_its_form() -> None:
    assert generation_in("qwen", "qwen-g1a2b3c4d") == "g1a2b3c4d"
    others = ("qwen", "qwen-gpu", "qwen-g1a2b3c4", "qwen-g1A2b3c4d", "qwen-large-g1a2b3c4d")
    assert [generation_in("qwen", name) for name in others] == [None] * len(others)
    assert [n for n in sorted(ALL) if is_own_namespace("qwen", n)] == sorted(OWN)


@pytest.mark.parametrize(
    ("mode", "clashing"),
    [
        (GenerationMode.OFF, ()),
        (GenerationMode.PLAIN, ()),
        (GenerationMode.ADOPTING, FOREIGN),
        (GenerationMode.IN_FORCE, ("qwen-gpu",)),
    ],
)
def test_what_clashes_depends_on_the_prefix(
    mode: GenerationMode, clashing: tuple[str, ...]
) -> None:
    prefix = frontend_prefix("qwen", mode)
    assert served_too(of_mode(mode), ALL, prefix) == clashing
    # A generation that was deleted a moment ago still has its keys, which are not a clash.
    assert served_too(of_mode(mode), OWN, prefix) == ()


def test_another_graph_whose_namespace_looks_like_a_generation_of_one_clashes() -> None:
    in_force = of_mode(GenerationMode.IN_FORCE)
    mixed = served_too(in_force, ("qwen-g1a2b3c4d-gdeadbeef",), "qwen-g")
    assert mixed == ("qwen-g1a2b3c4d-gdeadbeef",)


def test_adoption_waits_while_its_bare_prefix_matches_another_namespace() -> None:
    plain = of_mode(GenerationMode.PLAIN)
    assert why_adoption_waits(plain, frozenset(OWN)) is None
    why = why_adoption_waits(plain, frozenset((*OWN, "qwen2")))
    assert why is not None
    assert "starts with qwen, and etcd also has qwen2" in why
    assert "use another etcd" in why
    # Other graphs with a longer name do not matter once adoption is over.
    assert why_prefix_waits(plain, frozenset((*OWN, "qwen2")), "qwen-g") is None
    assert why_prefix_waits(plain, ALL, None) is None
    unknown = why_adoption_waits(plain, Unknown("permission denied"))
    assert unknown is not None
    assert unknown.endswith("could not be listed: permission denied")


def test_a_graph_with_a_longer_name_does_not_start_workers_that_another_one_would_serve() -> None:
    longer = of_mode(GenerationMode.IN_FORCE, "qwen-gpu-good")
    assert shorter_namespaces("qwen-gpu-good") == ("qwen", "qwen-gpu")
    assert shorter_namespaces("-gpu") == shorter_namespaces("qwen") == ()
    # Without generations, the other graph's frontends serve exactly its own namespace.
    assert serving_namespaces(longer, ("qwen", "qwen-gpu")) == ()
    assert serving_namespaces(longer, ALL) == ("qwen",)
    why = why_workers_wait(longer, ALL)
    assert why is not None
    assert "starts with qwen-g, and so the workers in qwen-gpu-good" in why
    assert find_clash(longer, ALL) == why
    assert why_workers_wait(longer, Unknown("no etcd replica answers")) is None


def test_each_pass_reports_a_clash_with_a_remedy() -> None:
    many = frozenset(f"qwen-gpu{number}" for number in range(9))
    problem = find_clash(of_mode(GenerationMode.IN_FORCE), many)
    assert problem is not None
    assert "qwen-gpu0, qwen-gpu1, qwen-gpu2, qwen-gpu3, qwen-gpu4 and 4 more" in problem
    assert "set another namespace" in problem
    assert find_clash(of_mode(GenerationMode.IN_FORCE), frozenset(OWN)) is None
    # Frontends without a prefix mix nothing: a graph that runs today is not degraded.
    assert find_clash(of_mode(GenerationMode.PLAIN), ALL) is None
    assert find_clash(of_mode(GenerationMode.IN_FORCE), Unknown("no etcd replica answers")) is None


ETCD, OTHER_ETCD = ("http://10.0.0.9:2379",), ("http://10.0.0.8:2379",)


@pytest.mark.parametrize(
    ("first", "second", "certain"),
    [
        (("qwen", ETCD), ("qwen-gpu", ETCD), True),
        (("qwen-gpu", ETCD), ("qwen", ETCD), True),
        (("qwen", ETCD), ("qwen-g1a2b3c4d", ETCD), True),
        (("qwen", ETCD), ("qwen-large", ETCD), None),
        (("qwen", ETCD), ("qwen", ETCD), None),
        (("qwen", ETCD), ("qwen-gpu", OTHER_ETCD), None),
        # One graph may use the etcd that the other one runs.
        (("qwen", ()), ("qwen-gpu", ETCD), False),
        (("qwen", ()), ("qwen-gpu", ()), None),
    ],
)
def test_graph_files_are_compared_without_etcd(
    first: tuple[str, tuple[str, ...]], second: tuple[str, tuple[str, ...]], certain: bool | None
) -> None:
    graphs = [
        replace(graph(), name=name, namespace=name, external_etcd=etcd)
        for name, etcd in (first, second)
    ]
    clashes = list(clashing_graphs(graphs))
    assert [clash.is_certain for clash in clashes] == ([] if certain is None else [certain])
    for clash in clashes:
        text = describe_graph_clash(clash)
        assert "frontends of qwen serve every namespace that starts with qwen-g, and so" in text
        assert text.startswith("if both graphs use one etcd") is not certain


def test_a_graph_without_generations_serves_its_own_namespace_only() -> None:
    worker = component("worker", Role.WORKER)
    plain = replace(graph(), namespace="qwen", external_etcd=ETCD, components=(worker,))
    assert list(clashing_graphs([plain, replace(plain, namespace="qwen-gpu")])) == []
