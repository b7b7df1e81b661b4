"""The declared credentials in containers, and the permissions to read them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from ecs_dynamo.doctor.checks.references import secret_references
from ecs_dynamo.iam.daemon import daemon_policy
from ecs_dynamo.iam.secrets import read_statements
from ecs_dynamo.iam.statements import Arns
from ecs_dynamo.iam.tasks import execution_policy
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.conditions import ConditionReason, ConditionType
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import (
    Endpoints,
    Memory,
)
from ecs_dynamo.model.snapshot import Probe, Snapshot
from ecs_dynamo.model.spec.security import SecuritySpec
from ecs_dynamo.planning import plan, probe_targets
from ecs_dynamo.planning.desired.canonical import fingerprint
from ecs_dynamo.planning.desired.rendering import render
from tests.helpers.graphs import graph
from tests.helpers.simulated_ecs import SimulatedEcs

SM = "arn:aws:secretsmanager:us-west-2:123456789012:secret"
TLS = {"ca": f"{SM}:ca", "clientCert": f"{SM}:cert", "clientKey": "/dynamo/key"}
SECURITY: dict[str, Any] = {
    "etcd": {"tls": TLS},
    "nats": {
        "tls": {"ca": f"{SM}:ca", "caPath": "/etc/ca.pem"},
        "username": f"{SM}:nats:user::",
        "password": f"{SM}:nats:password::",
    },
}


def secured(**changes: Any) -> Graph:
    return replace(graph(), security=SecuritySpec.model_validate({**SECURITY, **changes}))


def rendered(of: Graph, name: str = "decode") -> dict[str, Any]:
    endpoints = Endpoints(etcd="https://10.0.0.1:2379", nats="tls://10.0.0.1:4222")
    content = render(of, of.component(name), endpoints, 8081)
    return dict(content["containerDefinitions"][0])


def test_references_go_under_the_names_that_dynamo_reads() -> None:
    container = rendered(secured())
    assert container["secrets"] == [
        {"name": "ETCD_AUTH_CA", "valueFrom": f"{SM}:ca"},
        {"name": "ETCD_AUTH_CLIENT_CERT", "valueFrom": f"{SM}:cert"},
        {"name": "ETCD_AUTH_CLIENT_KEY", "valueFrom": "/dynamo/key"},
        {"name": "NATS_AUTH_PASSWORD", "valueFrom": f"{SM}:nats:password::"},
        {"name": "NATS_AUTH_USERNAME", "valueFrom": f"{SM}:nats:user::"},
    ]
    values = {e["name"]: e["value"] for e in container["environment"]}
    assert values["NATS_TLS_CA_CERT_PATH"] == "/etc/ca.pem"
    assert "secrets" not in rendered(graph())
    assert "secrets" not in rendered(secured(), "etcd-nats")


def test_what_the_task_definition_says_stays() -> None:
    base = secured()
    decode = base.component("decode")
    container = {
        **decode.template["containerDefinitions"][0],
        "environment": [{"name": "NATS_TLS_CA_CERT_PATH", "value": "/mine"}],
        "secrets": [{"name": "NATS_AUTH_PASSWORD", "valueFrom": "/mine"}],
    }
    own = replace(decode, template={**decode.template, "containerDefinitions": [container]})
    matches = rendered(replace(base, components=(own,)))
    assert {"name": "NATS_AUTH_PASSWORD", "valueFrom": "/mine"} in matches["secrets"]
    assert len(matches["secrets"]) == 5
    assert {"name": "NATS_TLS_CA_CERT_PATH", "value": "/mine"} in matches["environment"]


def test_another_reference_is_another_revision() -> None:
    newer = {"etcd": {"tls": {**TLS, "ca": f"{SM}:ca:::v2"}}}
    prints = {fingerprint({"c": rendered(g)}) for g in (graph(), secured(), secured(**newer))}
    assert len(prints) == 3


def test_the_graphs_own_servers_are_reached_over_tls() -> None:
    base = secured()
    ecs = SimulatedEcs(base)
    for action in plan(base, ecs.snapshot(), Memory(started_at=0.0), Now.at(0.0)).actions:
        ecs.apply(action)
    for _ in range(5):
        ecs.step()
    snapshot = ecs.snapshot()
    component = base.component("etcd-nats")
    targets = probe_targets(base, component, snapshot.components["etcd-nats"].tasks)  # type: ignore[arg-type]  # simulated, so known
    assert {url.partition("://")[0] for url in targets.values()} == {"https", "tls"}


def test_a_refusal_is_a_condition_of_the_graph() -> None:
    base = replace(secured(), components=secured().components[1:], external_etcd=("https://e:1",))
    refusal = Probe("https://e:1", False, "https://e:1: authentication failed", refused=True)
    snapshot = Snapshot(
        graph="g", observed_at=0.0, components={}, external={"https://e:1": refusal}
    )
    matches = plan(base, snapshot, Memory(started_at=0.0), Now.at(0.0))
    (reported,) = [
        c for c in matches.conditions if c.type is ConditionType.DEGRADED and c.component is None
    ]
    assert reported.status
    assert reported.reason == ConditionReason.ACCESS_REFUSED
    assert "authentication failed" in reported.message


def test_the_rights_name_just_what_is_referred_to() -> None:
    base = secured()
    where = ("us-west-2", "123456789012")
    matches = {s["Sid"]: s for s in daemon_policy(base, *where)["Statement"]}
    assert matches["ReadSecrets"]["Resource"] == [
        f"{SM}:{n}-??????" for n in ("ca", "cert", "nats")
    ]
    parameter = "arn:aws:ssm:us-west-2:123456789012:parameter/dynamo/key"
    assert matches["ReadParameters"]["Resource"] == [parameter]

    def tasks(*names: str) -> dict[str, Any]:
        of = [(base.component(name), base.security) for name in names]
        policy = execution_policy(of, Arns(*where))
        return {s["Sid"]: s for s in policy["Statement"]}

    assert tasks("decode")["ReadSecrets"] == matches["ReadSecrets"]
    assert tasks("decode")["ReadParameters"] == matches["ReadParameters"]
    assert "ReadSecrets" not in tasks("etcd-nats")
    plain = daemon_policy(graph(), *where)["Statement"]
    assert not {"ReadSecrets", "ReadParameters"} & {s["Sid"] for s in plain}
    (whole,) = read_statements([f"{SM}:nats-AbC123"], Arns(*where))
    assert f"{SM}:nats-AbC123" in whole["Resource"]
    assert f"{SM}:nats" in secret_references(base)[0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"etcd": {"username": f"{SM}:u"}}, "together"),
        ({"etcd": {"tls": TLS, "username": f"{SM}:u", "password": f"{SM}:p"}}, "without TLS only"),
        ({"etcd": {"tls": {"ca": f"{SM}:ca"}}}, "clientCert"),
        ({"nats": {"token": f"{SM}:t", "nkey": f"{SM}:n"}}, "one of"),
        ({"nats": {"tls": {"ca": f"{SM}:ca"}}}, "caPath"),
        ({"nats": {"tls": {"clientCert": f"{SM}:c"}}}, "clientKeyPath"),
        ({"nats": {"credentials": f"{SM}:c"}}, "credentialsPath"),
        ({"nats": {"token": "hunter2"}}, "not a reference"),
    ],
)
def test_what_dynamo_cannot_do_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SecuritySpec.model_validate(wrong)
