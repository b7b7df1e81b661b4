"""Bridge networking: what must reach a worker or a frontend runs on its instance, or is refused."""

from __future__ import annotations

import copy
import json
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecs_dynamo.config import load_graph
from ecs_dynamo.model.errors import InputError, Problem
from tests.helpers.graph_files import ROOT

EXAMPLE = ROOT / "examples" / "local"
ONE, TWO = "i-0aaaaaaaaaaaaaaa1", "i-0aaaaaaaaaaaaaaa2"
NATS = {"requestPlane": "nats", "eventPlane": "nats"}
BRIDGE, HOST, VPC = "bridge", "host", "awsvpc"
Parts = dict[str, dict[str, Any]]
ALL = ("frontend", "decode", "prefill")


def part(
    mode: str | None = HOST, on: str | None = None, env: dict[str, str] | None = None, **fields: Any
) -> dict[str, Any]:
    """A component: its network mode, the instance that it is held to, and fields of its own."""
    constraint = {"type": "memberOf", "expression": f"ec2InstanceId == {on}"}
    placement = {"placement": {"constraints": [constraint]}} if on else {}
    return {"mode": mode, "fields": {"env": env or {}, **placement, **fields}}


def fargate() -> dict[str, Any]:
    sized = {"cpu": "1024", "memory": "4096", "requiresCompatibilities": ["FARGATE"]}
    return part(VPC, launchType="FARGATE") | {"definition": sized}


def written(folder: Path, parts: Parts, runtime: dict[str, str] | None = None) -> Path:
    """A graph file with those components, made from the example's."""
    shutil.copytree(EXAMPLE / "taskdefs", folder / "taskdefs")
    document = yaml.safe_load((EXAMPLE / "ecs-dynamo.yaml").read_text())
    document["runtime"] |= runtime or {}
    document["components"] = []
    for name, declared in parts.items():
        source = "decode" if name == "worker" else name if name in ALL else "frontend"
        definition = json.loads((EXAMPLE / "taskdefs" / f"{source}.json").read_text())
        definition.pop("networkMode")
        if declared["mode"] is not None:
            definition["networkMode"] = declared["mode"]
        if declared["mode"] == BRIDGE or declared["mode"] is None:
            for container in definition["containerDefinitions"]:
                container["portMappings"] = [{"containerPort": 8000}] * (source == "frontend")
        definition |= copy.deepcopy(declared.get("definition", {}))
        (folder / "taskdefs" / f"{name}.json").write_text(json.dumps(definition))
        component = {"name": name, "type": name, "taskDefinition": f"taskdefs/{name}.json"}
        document["components"].append({**component, **declared["fields"]})
    path = folder / "ecs-dynamo.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def reported(path: Path) -> tuple[list[Problem], list[Problem]]:
    """Errors and warnings about network modes."""
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    try:
        warnings = load_graph(path, {}).warnings
    except InputError as error:
        errors = tuple(error.problems)

    assert all("bridge" in p.message for p in errors), errors
    return list(errors), [p for p in warnings if p.field == "networkMode"]


@pytest.mark.parametrize(
    ("modes", "places"),
    [
        *product(
            [m for m in product((BRIDGE, HOST, VPC), repeat=3) if BRIDGE in m],
            [
                (None, None, None),
                (ONE, ONE, ONE),
                (TWO, ONE, ONE),
                (ONE, TWO, ONE),
                (ONE, ONE, TWO),
                (ONE, ONE, None),
            ],
        )
    ],
)
def test_every_combination_on_tcp(
    tmp_path: Path, modes: tuple[str, ...], places: tuple[str | None, ...]
) -> None:
    parts = {n: part(m, p) for n, m, p in zip(ALL, modes, places, strict=True)}
    errors, _ = reported(written(tmp_path, parts))
    refused = {Path(p.file or "").stem for p in errors}
    together = len(set(places)) == 1 and places[0] is not None and VPC not in modes
    expected = set() if together else {n for n, m in zip(ALL, modes, strict=True) if m == BRIDGE}
    assert refused == expected


@pytest.mark.parametrize(
    ("parts", "runtime", "refused"),
    [
        # On nats nobody connects to a worker, wherever frontends run.
        ({"frontend": part(), "worker": part(BRIDGE)}, NATS, False),
        ({"frontend": part(VPC), "worker": part(BRIDGE)}, NATS, False),
        # Workers connect back to a frontend, on nats too.
        ({"frontend": part(BRIDGE), "worker": part()}, NATS, True),
        ({"frontend": part(BRIDGE, ONE), "worker": part(HOST, ONE)}, NATS, False),
        ({"frontend": part(BRIDGE, ONE), "worker": part(BRIDGE, ONE)}, {}, False),
        # A variable of the task definition or of the component counts, as it does for Dynamo.
        (
            {"frontend": part(), "worker": part(BRIDGE, env={"DYN_REQUEST_PLANE": "tcp"})},
            NATS,
            True,
        ),
        (
            {"frontend": part(), "worker": part(BRIDGE, env={"DYN_REQUEST_PLANE": "nats"})},
            {},
            False,
        ),
        # Bridge is ECS's default.
        ({"frontend": part(), "worker": part(None)}, {}, True),
        # The same id in another cluster is another instance; one of two is not certain.
        (
            {"frontend": part(HOST, ONE, cluster="other"), "worker": part(BRIDGE, ONE)},
            {},
            True,
        ),
        (
            {
                "frontend": part(HOST, f"{ONE} or ec2InstanceId == {TWO}"),
                "worker": part(BRIDGE, ONE),
            },
            {},
            True,
        ),
        # A Fargate task runs on no instance that a constraint can name.
        (
            {"frontend": fargate(), "worker": part(BRIDGE, ONE)},
            {},
            True,
        ),
        # Constraints of the task definition hold as well.
        (
            {
                "frontend": part(HOST, ONE),
                "worker": part(BRIDGE)
                | {
                    "definition": {
                        "placementConstraints": [
                            {"type": "memberOf", "expression": f"ec2InstanceId in [{ONE}]"}
                        ]
                    }
                },
            },
            {},
            False,
        ),
        # All in one task: as long as it is declared once.
        *(
            ({"frontend": part(BRIDGE, alsoRuns=["worker"], **more)}, {}, refused)
            for more, refused in (
                ({}, False),
                ({"scaling": {"max": 2}}, True),
                ({"rollout": {"maximumPercent": 100, "minimumHealthyPercent": 0}}, False),
                (
                    {
                        "replicas": 2,
                        "rollout": {"maximumPercent": 100, "minimumHealthyPercent": 0},
                    },
                    True,
                ),
                ({"replicas": 2, "on": ONE}, False),
            )
        ),
    ],
)
def test_who_is_refused(
    tmp_path: Path, parts: Parts, runtime: dict[str, str], refused: bool
) -> None:
    errors, _ = reported(written(tmp_path, parts, runtime))
    assert bool(errors) == refused, errors


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ({}, True),
        ({"on": ONE}, False),
        ({"rollout": {"maximumPercent": 100, "minimumHealthyPercent": 0}}, False),
    ],
)
def test_a_task_that_holds_all_is_two_while_it_rolls(
    tmp_path: Path, more: dict[str, Any], warned: bool
) -> None:
    parts = {"frontend": part(BRIDGE, alsoRuns=["worker"], **more)}
    errors, warnings = reported(written(tmp_path, parts))
    assert errors == []
    assert [("during a rollout" in w.message) for w in warnings] == [True] * warned


def test_the_error_names_what_is_found_expected_and_the_remedy(tmp_path: Path) -> None:
    parts = {"frontend": part(HOST, TWO), "decode": part(BRIDGE, ONE), "prefill": part(VPC)}
    (problem,), _ = reported(written(tmp_path, parts))
    assert (problem.file or "").endswith("taskdefs/decode.json")
    assert problem.line is not None
    assert problem.message.startswith("decode: networkMode bridge and requestPlane tcp: ")
    assert f"frontend (on {TWO})" in problem.message
    assert "prefill (awsvpc, with a network interface of its own)" in problem.message
    for words in ("host or awsvpc", "requestPlane and eventPlane nats", "ec2InstanceId == i-"):
        assert words in (problem.remedy or "")


@pytest.mark.parametrize(
    ("parts", "runtime", "words"),
    [
        ({"frontend": part(), "worker": part(BRIDGE)}, {"requestPlane": "nats"}, "eventPlane zmq"),
        (
            {"frontend": part(HOST, ONE), "worker": part(BRIDGE, ONE)},
            {"requestPlane": "nats"},
            None,
        ),
        (
            {"frontend": part(HOST, ONE), "worker": part(BRIDGE, ONE), "planner": part(HOST, TWO)},
            {},
            "planner (on",
        ),
        (
            {
                "frontend": part(),
                "worker": part(
                    BRIDGE, env={"DYN_ZMQ_BROKER_URL": "xsub=tcp://b:1 , xpub=tcp://b:2"}
                ),
            },
            {"requestPlane": "nats"},
            None,
        ),
        ({"frontend": part(), "decode": part(), "prefill": part(BRIDGE)}, NATS, "KV caches"),
        (
            {"frontend": part(), "decode": part(HOST, ONE), "prefill": part(BRIDGE, ONE)},
            NATS,
            None,
        ),
    ],
)
def test_what_works_worse_is_warned_of(
    tmp_path: Path, parts: Parts, runtime: dict[str, str], words: str | None
) -> None:
    errors, warnings = reported(written(tmp_path, parts, runtime))
    assert errors == []
    assert len(warnings) == (words is not None)
    assert all((words or "") in w.message for w in warnings)


@pytest.mark.parametrize(
    ("worker", "runtime", "field"),
    [
        (part(BRIDGE), {"systemPort": 0}, "runtime.systemPort"),
        (
            part(BRIDGE, env={"DYN_SYSTEM_PORT": "0"}),
            {},
            "components[1].env.DYN_SYSTEM_PORT",
        ),
        (part(BRIDGE, env={"DYN_SYSTEM_PORT": "9000"}), {"systemPort": 0}, None),
        (part(BRIDGE), {}, None),
        (part(HOST), {"systemPort": 0}, None),
    ],
)
def test_a_worker_in_bridge_mode_has_a_known_system_port(
    tmp_path: Path, worker: dict[str, Any], runtime: dict[str, Any], field: str | None
) -> None:
    errors, _ = reported(written(tmp_path, {"frontend": part(), "worker": worker}, NATS | runtime))
    assert [e.field for e in errors] == [field] * (field is not None)


def test_a_system_port_that_the_task_definition_leaves_open_in_bridge_mode(tmp_path: Path) -> None:
    path = written(tmp_path, {"frontend": part(), "worker": part(BRIDGE)}, NATS)
    file = tmp_path / "taskdefs" / "worker.json"
    definition = json.loads(file.read_text())
    (container,) = definition["containerDefinitions"]
    container["environment"] = [{"name": "DYN_SYSTEM_PORT", "value": "0"}]
    file.write_text(json.dumps(definition))
    (problem,), _ = reported(path)
    assert (problem.file or "").endswith("worker.json")
    assert problem.field == "containerDefinitions[0].environment"
    assert "such as 8081" in (problem.remedy or "")
