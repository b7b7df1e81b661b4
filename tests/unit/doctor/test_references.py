"""doctor's checks of credentials, permissions, images, secrets, log groups and roles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from ecs_dynamo.aws.inspect.references import trusted_services
from ecs_dynamo.doctor.checks.base import (
    listed,
    worst_first,
)
from ecs_dynamo.doctor.checks.identity import (
    check_clock,
    check_identity,
    check_rights,
    principal_of,
    simulations,
)
from ecs_dynamo.doctor.checks.references import (
    check_definitions,
    check_images,
    check_log_groups,
    check_roles,
    check_secrets,
    secret_references,
)
from ecs_dynamo.iam.daemon import daemon_policy
from ecs_dynamo.model.doctor import Finding, Identity, Severity, Simulated
from ecs_dynamo.model.ecs.secrets import parameter_names
from ecs_dynamo.model.ecs.task_definition import ecr_image
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.snapshot import Unknown
from tests.helpers.graphs import (
    component,
    graph,
    template,
)
from tests.rights.policy import AccessRequest, decide

OK, WARNING, ERROR, UNKNOWN = Severity.OK, Severity.WARNING, Severity.ERROR, Severity.UNKNOWN
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/task"
ME = Identity(f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/me", ACCOUNT, 0.2)


def severities(findings: Iterable[Finding]) -> list[Severity]:
    return [f.severity for f in findings]


def with_content(**changes: Any) -> Graph:
    content = {**template("p", "host"), **changes}
    return replace(graph(), components=(component("p", Role.PREFILL, template=content),))


def with_container(**changes: Any) -> Graph:
    first = template("p", "host")["containerDefinitions"][0]
    return with_content(containerDefinitions=[{**first, **changes}])


# Credentials, clock, rights ----------------------------------------------------------------------


def test_credentials() -> None:
    declared = with_content(taskRoleArn=ROLE)
    assert severities(check_identity(declared, ME)) == [OK, OK]
    other = list(check_identity(declared, replace(ME, account="111122223333")))
    assert severities(other) == [OK, ERROR, OK]
    assert ROLE in other[1].evidence
    assert severities(check_identity(declared, replace(ME, skew=None))) == [OK, UNKNOWN]
    assert severities(check_identity(declared, Unknown("Unreachable"))) == [UNKNOWN]
    assert severities(check_identity(declared, Unknown("x: NoCredentials: y"))) == [ERROR]


@pytest.mark.parametrize(
    ("skew", "severity"), [(-1, OK), (59, OK), (-100, WARNING), (100, WARNING), (-1000, ERROR)]
)
def test_clock(skew: float, severity: Severity) -> None:
    finding = check_clock(skew)
    assert finding.severity is severity
    assert ("behind" in finding.evidence) is (skew < 0)


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/me", f"arn:aws:iam::{ACCOUNT}:role/admin"),
        (f"arn:aws:iam::{ACCOUNT}:user/team/ann", f"arn:aws:iam::{ACCOUNT}:user/team/ann"),
        (f"arn:aws-cn:sts::{ACCOUNT}:assumed-role/a/b", f"arn:aws-cn:iam::{ACCOUNT}:role/a"),
        (f"arn:aws:iam::{ACCOUNT}:root", None),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/bob", None),
    ],
)
def test_whose_policies_are_simulated(arn: str, expected: str | None) -> None:
    assert principal_of(arn) == expected


def test_what_the_simulator_is_asked_is_allowed_by_the_policy_itself() -> None:
    """Every check of permissions succeeds for a principal with exactly the rendered policy."""
    policy = daemon_policy(with_content(taskRoleArn=ROLE), "us-east-1", ACCOUNT, "leases", "events")
    asked = simulations(policy)
    assert len(asked) == len(policy["Statement"])
    for item in asked:
        context = {k: list(values) for k, (_, values) in item.context.items()}
        for action in item.actions:
            for resource in item.resources:
                assert "*" not in resource or resource == "*"
                request = AccessRequest(action, resource, context)
                assert decide([policy], request).allowed, request


def test_rights() -> None:
    fine = Simulated(ROLE, 12)
    assert severities(check_rights(fine, named=True)) == [OK]
    short = replace(fine, denied=(("ecs:UpdateService", "arn:a"), ("ecs:UpdateService", "arn:b")))
    (finding,) = check_rights(short, named=True)
    assert (finding.severity, "may not ecs:UpdateService on arn:a, arn:b" in finding.evidence) == (
        ERROR,
        True,
    )
    # doctor's user may differ from the daemon.
    (finding,) = check_rights(short, named=False)
    assert (finding.severity, "--role" in finding.remedy) == (WARNING, True)
    assert severities(check_rights(Unknown("AccessDenied"), named=True)) == [UNKNOWN]


# Images ------------------------------------------------------------------------------------------

DIGEST = "sha256:" + "0" * 64
REGISTRY = f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com"


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        (f"{REGISTRY}/dynamo:1.6", ("dynamo", "1.6", None)),
        (f"{REGISTRY}/team/dynamo", ("team/dynamo", "latest", None)),
        (f"{REGISTRY}/team/dynamo@{DIGEST}", ("team/dynamo", None, DIGEST)),
        (f"{REGISTRY}/dynamo:1.6@{DIGEST}", ("dynamo", None, DIGEST)),
        (f"{ACCOUNT}.dkr.ecr-fips.us-gov-west-1.amazonaws.com/a:b", ("a", "b", None)),
        (f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn/a:b", ("a", "b", None)),
        (f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.eu/a:b", ("a", "b", None)),
        (f"{ACCOUNT}.dkr.ecr.us-iso-east-1.c2s.ic.gov/a:b", ("a", "b", None)),
        (f"{ACCOUNT}.dkr-ecr.us-east-1.on.aws/a:b", ("a", "b", None)),
        ("public.ecr.aws/docker/library/nats:2", None),
        ("nvcr.io/nvidia/dynamo:1", None),
        ("nats:2", None),
    ],
)
def test_images_of_ecr_are_taken_apart(image: str, parts: tuple[Any, ...] | None) -> None:
    parsed = ecr_image(image)
    assert (parsed and (parsed.repository, parsed.tag, parsed.digest)) == parts
    assert parsed is None or parsed.registry == ACCOUNT


def test_images() -> None:
    image = f"{REGISTRY}/dynamo:1.6"
    declared = with_container(image=image)
    for observed, severity in (
        ({image: True}, OK),
        ({image: False}, ERROR),
        ({image: Unknown("denied")}, UNKNOWN),
        ({}, UNKNOWN),
    ):
        assert severities(check_images(declared, observed)) == [severity]
    (other,) = check_images(with_container(image="nvcr.io/x:1"), {})
    assert (other.severity, "not in ECR" in other.evidence) == (UNKNOWN, True)


# Secrets, log groups, roles ----------------------------------------------------------------------


def test_secrets_are_found_by_kind() -> None:
    declared = with_container(
        secrets=[
            {"name": "A", "valueFrom": "arn:aws:secretsmanager:r:1:secret:a:key::"},
            {"name": "B", "valueFrom": "/plain"},
            {"name": "C", "valueFrom": "arn:aws:ssm:r:1:parameter/deep/name"},
        ],
        logConfiguration={
            "logDriver": "splunk",
            "secretOptions": [{"name": "t", "valueFrom": "arn:aws:ssm:r:1:parameter/flat"}],
        },
        repositoryCredentials={"credentialsParameter": "arn:aws:secretsmanager:r:1:secret:ngc"},
    )
    secrets, parameters = secret_references(declared)
    assert secrets == [
        "arn:aws:secretsmanager:r:1:secret:a",
        "arn:aws:secretsmanager:r:1:secret:ngc",
    ]
    assert [parameter_names(p) for p in parameters] == [
        ("/plain",),
        ("/deep/name",),
        ("flat", "/flat"),
    ]


def test_secrets() -> None:
    findings = check_secrets({"a": None, "b": "does not exist", "c": Unknown("denied")})
    assert severities(findings) == [OK, ERROR, UNKNOWN]


def test_log_groups() -> None:
    def logs(**more: str) -> Graph:
        options = {"awslogs-group": "/g", **more}
        return with_container(logConfiguration={"logDriver": "awslogs", "options": options})

    created = logs(**{"awslogs-create-group": "true"})
    assert severities(check_log_groups(logs(), {"/g": True})) == [OK]
    assert severities(check_log_groups(logs(), {"/g": False})) == [ERROR]
    assert severities(check_log_groups(created, {"/g": False})) == [OK]
    assert severities(check_log_groups(logs(), {"/g": Unknown("x")})) == [UNKNOWN]
    assert severities(check_log_groups(logs(), {})) == [UNKNOWN]
    elsewhere = logs(**{"awslogs-region": "eu-west-1"})
    assert severities(check_log_groups(elsewhere, {"/g": True})) == [UNKNOWN]
    assert list(check_log_groups(with_container(), {})) == []


TRUST: dict[str, Any] = {
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": ["ecs-tasks.amazonaws.com", "x"]}},
        {"Effect": "Deny", "Principal": {"Service": "ec2.amazonaws.com"}},
        {"Effect": "Allow", "Principal": "*"},
    ]
}


def test_who_may_take_a_role() -> None:
    import json

    expected = {"ecs-tasks.amazonaws.com", "x"}
    assert trusted_services(TRUST) == expected
    assert trusted_services(quote(json.dumps(TRUST))) == expected
    assert trusted_services({"Statement": TRUST["Statement"][0]}) == expected
    junk: Any
    for junk in ("", "{", None, "[]", {}):
        assert trusted_services(junk) == frozenset()


def test_roles() -> None:
    declared = with_content(taskRoleArn=ROLE)
    for observed, severity in (
        ({ROLE: frozenset({"ecs-tasks.amazonaws.com"})}, OK),
        ({ROLE: frozenset({"ec2.amazonaws.com"})}, ERROR),
        ({ROLE: None}, ERROR),
        ({ROLE: Unknown("denied")}, UNKNOWN),
        ({}, UNKNOWN),
    ):
        assert severities(check_roles(declared, observed)) == [severity]


def test_definitions_and_order() -> None:
    declared = graph()
    (fine,) = check_definitions(declared, [])
    assert fine.severity is OK
    warned = check_definitions(declared, [("a", "b"), ("c", "d")])
    assert [(f.severity, f.evidence, f.remedy) for f in warned] == [
        (WARNING, "a", "b"),
        (WARNING, "c", "d"),
    ]
    mixed = [Finding("x", s, "") for s in (OK, UNKNOWN, ERROR, WARNING)]
    assert severities(worst_first(mixed)) == [ERROR, WARNING, UNKNOWN, OK]
    assert listed("abc", 2) == "a, b and 1 more"
