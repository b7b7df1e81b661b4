"""The parameters of scaling policies in the graph file: a union chosen by ``policy``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from ecs_dynamo.config.load import LoadedGraph, load_graph
from ecs_dynamo.config.schema import graph_schema
from ecs_dynamo.model.errors import InputError
from ecs_dynamo.model.spec.scaling import (
    SCALING_POLICIES,
    AnyScaling,
    QueueScaling,
    SloScaling,
    StaticScaling,
)
from ecs_dynamo.planning.scaling.registry import POLICIES

QUEUE_LENGTH = {
    "namespace": "AWS/SQS",
    "metric": "ApproximateNumberOfMessagesVisible",
    "dimensions": {"QueueName": "q"},
}


def load(folder: Path, index: int = 2, **values: Any) -> LoadedGraph:
    """Load the example with ``values`` as ``scaling`` of a component, by default of prefill."""
    path = folder / "ecs-dynamo.yaml"
    document = yaml.safe_load(path.read_text())
    document["components"][index]["scaling"] = values
    path.write_text(yaml.safe_dump(document))
    return load_graph(path, {})


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"max": 4}, SloScaling),
        ({"max": 4, "policy": "slo", "concurrency": 8}, SloScaling),
        ({"max": 4, "policy": "queue", "target": 2}, QueueScaling),
        ({"max": 4, "policy": "static"}, StaticScaling),
    ],
)
def test_the_policy_chooses_the_parameters(
    folder: Path, values: dict[str, Any], kind: type
) -> None:
    loaded = load(folder, **values)
    assert type(loaded.graph.component("prefill").scaling) is kind
    assert not [w for w in loaded.warnings if "no parameter" in w.message]


def test_parameters_of_another_policy_are_ignored_with_a_warning(folder: Path) -> None:
    loaded = load(folder, max=4, policy="queue", target=2, concurrency=8, miss=0.1)
    scaling = loaded.graph.component("prefill").scaling
    assert scaling == QueueScaling(max=4, target=2)
    ignored = [w.field for w in loaded.warnings if "no parameter" in w.message]
    assert ignored == [f"components[2].scaling.{key}" for key in ("concurrency", "miss")]


def test_latency_targets_and_what_is_known_of_the_engine(folder: Path) -> None:
    model = {"baseSeconds": 0.01, "perRequestSeconds": 0.0005}
    values: dict[str, Any] = {"targetTtftSeconds": 2, "targetItlSeconds": 0.04, "kvTokens": 500_000}
    loaded = load(folder, max=4, itlModel=model, **values)
    scaling = loaded.graph.component("prefill").scaling
    assert isinstance(scaling, SloScaling)
    assert scaling.concurrency is None
    assert scaling.itl_model is not None
    assert scaling.itl_model.per_request_seconds == 0.0005


def test_a_concurrency_that_must_be_learned_is_a_warning(folder: Path) -> None:
    def warnings(index: int, **values: Any) -> list[str]:
        loaded = load(folder, index, max=4, **values)
        own = [w for w in loaded.warnings if f"components[{index}].scaling" in (w.field or "")]
        return [w.message for w in own]

    (learned,) = warnings(1)
    assert "is learned" in learned
    (assumed,) = warnings(1, signals=[{"source": "cloudwatch", **QUEUE_LENGTH}], policy="slo")[-1:]
    assert "8 is assumed" in assumed
    assert not warnings(1, concurrency=16)
    assert not warnings(1, targetItlSeconds=0.05)
    assert not warnings(1, policy="queue")
    assert not warnings(1, signals=[{"source": "planner"}])
    assert not warnings(2)  # A prefill worker.
    (useless,) = warnings(2, targetItlSeconds=0.05)
    assert "no effect" in useless


def test_the_engines_limit_is_enough(folder: Path) -> None:
    path = folder / "ecs-dynamo.yaml"
    document = yaml.safe_load(path.read_text())
    document["components"][1] |= {"command": ["python3", "-m", "dynamo.vllm", "--max-num-seqs=8"]}
    path.write_text(yaml.safe_dump(document))
    assert not [w for w in load(folder, 1, max=4).warnings if "concurrency" in w.message]


def test_an_itl_that_no_batch_keeps_is_an_error(folder: Path) -> None:
    model = {"baseSeconds": 0.05, "perRequestSeconds": 0.001}
    with pytest.raises(InputError, match=r"targetItlSeconds 0\.04 cannot be kept"):
        load(folder, max=4, itlModel=model, targetItlSeconds=0.04)


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"max": 4, "policy": "fast"}, "scaling.policy", "'slo', 'queue', 'static'"),
        ({"max": 4, "policy": ["slo"]}, "scaling.policy", "'slo', 'queue', 'static'"),
        ({"policy": "queue"}, "scaling.max", "missing"),
        ({"max": "many"}, "scaling.max", "'many'"),
        ({"max": 4, "concurency": 2}, "scaling.concurency", "concurrency"),
        ({"max": 4, "signals": [{"source": "sqs"}]}, "scaling.signals[0].source", "'sqs'"),
        ({"max": 4, "signals": [{"url": "x"}]}, "scaling.signals[0].source", "missing"),
    ],
)
def test_errors_name_the_key_as_it_is_written(
    folder: Path, values: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        load(folder, **values)
    text = {p.field: str(p) for p in caught.value.problems}
    assert words in text[f"components[2].{field}"]


def test_every_policy_is_registered() -> None:
    assert set(POLICIES) == set(get_args(AnyScaling)) == set(SCALING_POLICIES.values())


def test_the_schema_accepts_parameters_without_a_policy() -> None:
    policies, _ = graph_schema()["$defs"]["ComponentSpec"]["properties"]["scaling"]["anyOf"]
    assert len(policies["anyOf"]) == len(SCALING_POLICIES)
    assert "oneOf" not in policies


def zero_warnings(
    folder: Path, prefill: dict[str, object], decode: dict[str, object] | int
) -> list[str]:
    """Return the warnings about ``min`` of prefill and decode.

    Decode may have a fixed count. ``replicas`` among the values of ``scaling`` are the component's.
    """
    path = folder / "ecs-dynamo.yaml"
    document = yaml.safe_load(path.read_text())
    parts = {c["name"]: c for c in document["components"]}
    for name, scaling in (("prefill", prefill), ("decode", decode)):
        if isinstance(scaling, int):
            parts[name].pop("scaling", None)
            parts[name]["replicas"] = scaling
        else:
            values = {"max": 4, **scaling}
            parts[name]["replicas"] = values.pop("replicas", parts[name]["replicas"])
            parts[name]["scaling"] = values
    path.write_text(yaml.safe_dump(document))
    return [
        w.message for w in load_graph(path, {}).warnings if (w.field or "").endswith("scaling.min")
    ]


ZERO: dict[str, object] = {"min": 0}
GATEWAY: dict[str, object] = {
    "min": 0,
    "signals": [
        {"source": "frontend"},
        {"source": "prometheus", "url": "http://p:9090", "query": "x", "kind": "rejection_rate"},
    ],
}


def test_a_component_that_would_not_leave_zero_is_reported(folder: Path) -> None:
    for source in ("frontend", "planner"):
        alone: dict[str, object] = {"min": 0, "signals": [{"source": source}]}
        first, second = zero_warnings(folder, alone, alone)
        assert "would not start again" in first
        assert first == second
    night: dict[str, object] = {
        "min": 0,
        "schedule": [{"cron": "0 8 * * *", "hours": 9, "min": 1}],
    }
    assert not zero_warnings(folder, night, ZERO)
    # Prefill and decode start together, so one of them needs the signal.
    assert not zero_warnings(folder, ZERO, GATEWAY)


def test_a_role_whose_counterpart_never_leaves_is_reported(folder: Path) -> None:
    static = {"policy": "static", "replicas": 2}
    fixed: list[dict[str, object] | int] = [2, {"min": 2}, static, {**static, "min": 0}]
    for decode in fixed:
        (message,) = zero_warnings(folder, GATEWAY, decode)
        assert "while decode has at least 2 replicas" in message


def static_count(replicas: int, *windows: dict[str, object]) -> dict[str, object]:
    schedule = [{"cron": "0 8 * * *", "hours": 9, **window} for window in windows]
    return {"policy": "static", "min": 0, "replicas": replicas, "schedule": schedule}


def test_a_static_component_is_at_zero_only_if_its_count_or_a_window_says_so(folder: Path) -> None:
    # It never reaches zero, so neither warning applies to it.
    assert not zero_warnings(folder, static_count(2), static_count(2))
    # Its count of zero is declared: only its counterpart would not start again.
    (message,) = zero_warnings(folder, ZERO, static_count(0))
    assert "would not start again" in message
    # The clock starts both.
    assert not zero_warnings(folder, ZERO, static_count(0, {"min": 1}))
    assert not zero_warnings(folder, ZERO, static_count(2, {"max": 0}))
    # No signal starts a static component.
    (message,) = zero_warnings(folder, ZERO, {**GATEWAY, "policy": "static", "replicas": 0})
    assert "would not start again" in message
    # Its counterpart keeps it at one.
    (message,) = zero_warnings(folder, static_count(0), 1)
    assert "while decode has at least 1 replica," in message
