"""The table of ECS's rules: each rejects what it is for, at its place, and nothing that is good."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.config import load_graph
from ecs_dynamo.config.checks.regions import known_regions
from ecs_dynamo.config.ecs_rules import RULES, STRUCTURE, Content, violations
from ecs_dynamo.config.reading.document import dotted
from ecs_dynamo.model.errors import InputError, Problem
from tests.helpers.graph_files import single_component_graph
from tests.unit.definitions.builders import ROLE, container, ec2, fargate
from tests.unit.definitions.invalid import INVALID, InvalidDefinition
from tests.unit.definitions.valid import VALID

TABLE = (*STRUCTURE, *RULES)


def broken(definition: dict[str, Any]) -> list[tuple[str, str]]:
    """Rule and field of everything that is wrong, as loading finds it: structure first."""
    content = Content(definition, "FARGATE" in definition.get("requiresCompatibilities", ()))
    breaches = list(violations(STRUCTURE, content)) or list(violations(RULES, content))
    assert all(v.message and v.remedy for v in breaches)
    return [(v.rule.id, dotted(v.path)) for v in breaches]


@pytest.mark.parametrize("bad", INVALID, ids=[f"{n}-{b.rule}" for n, b in enumerate(INVALID)])
def test_what_ecs_rejects_is_rejected_where_it_is(bad: InvalidDefinition) -> None:
    breaches = broken(bad.definition)
    assert (bad.rule, bad.field) in breaches
    assert {rule for rule, _ in breaches} == {bad.rule}


@pytest.mark.parametrize("name", VALID)
def test_what_ecs_takes_is_taken(name: str) -> None:
    assert broken(VALID[name]) == []


def test_each_rule_has_an_id_a_source_and_an_example() -> None:
    ids = [rule.id for rule in TABLE]
    assert len(set(ids)) == len(ids)
    assert all(rule.source and rule.remedy for rule in TABLE)
    assert set(ids) == {bad.rule for bad in INVALID}


def problems(path: Path) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        load_graph(path, {})
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("definition", "component", "field", "words"),
    [
        (ec2(container(environment=[{"value": "x"}])), {}, "environment[0]", "needs its name"),
        (
            ec2(container(environment=[{"name": "", "value": "x"}])),
            {},
            "environment[0]",
            "needs its name",
        ),
        (ec2(container("<your task name>")), {}, "[0].name", "<your task name>"),
        (
            fargate(),
            {"launchType": "FARGATE", "image": "$REGISTRY/app:$TAG"},
            "components[0].image",
            "$REGISTRY",
        ),
        (
            {k: v for k, v in ec2().items() if k != "executionRoleArn"},
            {"env": {"HF_TOKEN": "${secret:hf}"}},
            "components[0].env.HF_TOKEN",
            "execution role",
        ),
        (
            {
                k: v
                for k, v in ec2(
                    container(environment=[{"name": "HF_TOKEN", "value": "${secret:hf}"}])
                ).items()
                if k != "executionRoleArn"
            },
            {},
            "containerDefinitions[0].environment[0]",
            "execution role",
        ),
        (
            ec2(
                container(
                    environment=[
                        {"name": "A", "value": "x"},
                        {"name": "T", "value": "${secret:t}"},
                    ],
                    secrets=[{"name": "A", "valueFrom": "/a"}],
                )
            ),
            {},
            "containerDefinitions[0].secrets[0]",
            "more than once",
        ),
        (
            ec2(container(portMappings=[{"containerPortRange": "10000-10010"}])),
            {},
            "portMappings[0].containerPortRange",
            "bridge and awsvpc",
        ),
        (
            {**fargate(), "cpu": "1 vCPU", "memory": "16 GB"},
            {"launchType": "FARGATE"},
            "memory",
            "does not support memory 16 GB with cpu 1 vCPU",
        ),
        (
            {**ec2(), "requiresCompatibilities": ["EC2", "FARGATE"], "cpu": "256", "memory": "512"},
            {},
            "networkMode",
            "awsvpc only",
        ),
    ],
)
def test_validate_names_the_file_the_field_and_the_line(
    tmp_path: Path, definition: dict[str, Any], component: dict[str, Any], field: str, words: str
) -> None:
    reported = problems(single_component_graph(tmp_path, definition, **component))
    at_field = [p for p in reported if (p.field or "").endswith(field)]
    assert at_field, reported
    assert words in at_field[0].message
    assert all(p.file and p.line and p.remedy for p in reported)
    name = "ecs-dynamo.yaml" if field.startswith("components") else "app.json"
    assert (at_field[0].file or "").endswith(name)


@pytest.mark.parametrize(
    ("component", "field", "words"),
    [
        ({"replicas": 99999999999999999999}, "components[0].replicas", "2147483647"),
        ({"replicas": 1, "scaling": {"max": 2**31}}, "components[0].scaling.max", "2147483647"),
        (
            {
                "placement": {
                    "constraints": [
                        {"type": "memberOf", "expression": f"attribute:a == {n}"} for n in range(10)
                    ]
                }
            },
            "components[0].placement.constraints",
            "together",
        ),
        ({"targetGroupArn": "my-group"}, "components[0].targetGroupArn", "my-group"),
        (
            {"rollout": {"minimumHealthyPercent": 101}},
            "components[0].rollout.minimumHealthyPercent",
            "100",
        ),
        (
            {"network": {"subnets": [f"subnet-{n}" for n in range(17)]}},
            "components[0].network.subnets",
            "16",
        ),
        (
            {"network": {"securityGroups": [f"sg-{n}" for n in range(6)]}},
            "components[0].network.securityGroups",
            "5",
        ),
    ],
)
def test_what_create_service_rejects_is_rejected(
    tmp_path: Path, component: dict[str, Any], field: str, words: str
) -> None:
    definition = ec2(
        placementConstraints=[{"type": "memberOf", "expression": "attribute:b == c"}],
    )
    at_field = [
        p
        for p in problems(single_component_graph(tmp_path, definition, **component))
        if p.field == field
    ]
    assert at_field
    assert words in at_field[0].message
    assert at_field[0].remedy


def test_an_unknown_region_is_a_warning_with_the_closest_name(tmp_path: Path) -> None:
    path = single_component_graph(tmp_path, ec2(container(stopTimeout=120), mode="awsvpc"))
    assert load_graph(path, {}).warnings == ()
    path.write_text(path.read_text().replace("us-east-1", "us-esat-1"))
    (warning,) = load_graph(path, {}).warnings
    assert (warning.field, warning.line) == ("region", 2)
    assert "us-esat-1" in warning.message
    assert "us-east-1" in (warning.remedy or "")
    path.write_text(path.read_text().replace("region: us-esat-1\n", ""))
    (warning,) = load_graph(path, {"AWS_REGION": "eu-wset-1"}).warnings
    assert "eu-west-1" in (warning.remedy or "")
    assert {"cn-north-1", "us-gov-west-1", "eusc-de-east-1"} <= known_regions()


def test_the_issues_inputs() -> None:
    """Each of the small failing inputs is rejected, but for those that are right."""
    shared = os.environ.get("ECS_DYNAMO_SHARED")
    if shared is None:
        pytest.skip("ECS_DYNAMO_SHARED does not name the folder with the issue's inputs")
    cases = Path(shared) / "cases"
    for file in sorted(cases.glob("1[2-6]/**/ecs-dynamo.yaml")):
        name = str(file.parent.relative_to(cases))
        if name in ("14", "13/awsvpc", "13/bridge"):
            load_graph(file, {})
        else:
            assert problems(file), name


def test_a_role_may_be_of_any_partition() -> None:
    for partition in ("aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso-b"):
        role = ROLE.replace("arn:aws:", f"arn:{partition}:")
        assert broken({**ec2(), "executionRoleArn": role}) == []
