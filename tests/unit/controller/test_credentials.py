"""The daemon's credentials: read once, again after a rejection, and kept while the store fails."""

from __future__ import annotations

import json
from typing import Any

from ecs_dynamo.aws.resources.secrets import read_references
from ecs_dynamo.controller.reconcile.credentials import (
    FRESH_SECONDS,
    RETRY_SECONDS,
    CredentialReader,
)
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.spec.security import SecuritySpec

SM = "arn:aws:secretsmanager:us-west-2:123456789012:secret:nats"
SECURITY = SecuritySpec.model_validate(
    {
        "etcd": {
            "username": "/user",
            "password": "arn:aws:ssm:us-west-2:123456789012:parameter/pass",
        },
        "nats": {"username": f"{SM}:user::", "password": f"{SM}:password:AWSCURRENT:"},
    }
)


class Store:
    """Secrets Manager and SSM."""

    def __init__(self) -> None:
        self.password = "first-pw"
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failing = False

    async def call(self, service: str, operation: str, /, **asked: Any) -> dict[str, Any]:
        self.calls.append((operation, asked))
        if self.failing:
            raise AwsError(operation, "AccessDenied", "not yours")
        if service == "ssm":
            values = {"/user": "u", "/pass": "p"}
            known = [n for n in asked["Names"] if n in values]
            return {"Parameters": [{"Name": n, "Value": values[n]} for n in known]}
        text = {"user": "dynamo", "password": self.password}
        return {"SecretString": json.dumps(text)}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_credentials_are_read_again_after_a_rejection() -> None:
    store, clock = Store(), Clock()
    reader = CredentialReader(store, clock)  # type: ignore[arg-type]  # its only method in use
    credentials = await reader.read(SECURITY)
    assert (credentials.etcd.username, credentials.etcd.password) == ("u", "p")
    assert (credentials.nats.username, credentials.nats.password) == ("dynamo", "first-pw")
    assert {"SecretId": SM, "VersionStage": "AWSCURRENT"} in [a for _, a in store.calls]
    assert "first-pw" not in repr(credentials)
    asked = len(store.calls)
    assert await reader.read(SECURITY) is credentials
    assert len(store.calls) == asked
    store.password = "second-pw"
    reader.reject()
    assert (await reader.read(SECURITY)).nats.password == "first-pw"  # within RETRY_SECONDS
    clock.now += RETRY_SECONDS
    assert (await reader.read(SECURITY)).nats.password == "second-pw"
    asked = len(store.calls)
    clock.now += RETRY_SECONDS
    await reader.read(SECURITY)
    assert len(store.calls) == asked
    clock.now += FRESH_SECONDS
    await reader.read(SECURITY)
    assert len(store.calls) > asked


async def test_a_failing_store_is_reported_and_read_again() -> None:
    store, clock = Store(), Clock()
    reader = CredentialReader(store, clock)  # type: ignore[arg-type]  # its only method in use
    store.failing = True
    credentials = await reader.read(SECURITY)
    assert credentials.problem is not None
    assert "AccessDenied" in credentials.problem
    store.failing = False
    clock.now += RETRY_SECONDS
    good = await reader.read(SECURITY)
    assert good.problem is None
    store.failing = True
    clock.now += FRESH_SECONDS
    assert await reader.read(SECURITY) is good  # the previous ones may still be valid


async def test_a_missing_part_is_named_and_not_shown() -> None:
    reader = CredentialReader(Store())  # type: ignore[arg-type]  # its only method in use
    wrong = SecuritySpec.model_validate({"nats": {"token": f"{SM}:token::"}})
    problem = (await reader.read(wrong)).problem or ""
    assert "no JSON key token" in problem
    assert "dynamo" not in problem.replace(SM, "")
    assert (await reader.read(SecuritySpec())).problem is None


async def test_server_names_are_those_in_the_certificates() -> None:
    store = Store()
    reader = CredentialReader(store)  # type: ignore[arg-type]  # its only method in use
    security = SecuritySpec.model_validate({"nats": {"tls": {}, "token": "/user"}})
    names = {Role.ETCD: "etcd.dynamo.local", Role.NATS: "nats.dynamo.local"}
    credentials = await reader.read(security, names)
    # Without TLS, etcd has no certificate and no name in it.
    assert (credentials.nats.tls.server_name, credentials.etcd.tls.server_name) == (
        "nats.dynamo.local",
        None,
    )
    asked = len(store.calls)
    assert await reader.read(security, names) is credentials
    assert len(store.calls) == asked
    assert (await reader.read(security, {})).nats.tls.server_name is None
    public = SecuritySpec.model_validate({"nats": {"tls": {}}})
    assert (await reader.read(public, names)).nats.tls.server_name == "nats.dynamo.local"


async def test_the_arn_of_a_top_level_parameter_finds_it_with_and_without_a_slash() -> None:
    arn = "arn:aws:ssm:us-west-2:123456789012:parameter"

    class Parameters:
        async def call(self, service: str, operation: str, /, **asked: Any) -> dict[str, Any]:
            values = {"flat": "f", "/rooted": "r", "/deep/name": "d"}
            known = [n for n in asked["Names"] if n in values]
            return {"Parameters": [{"Name": n, "Value": values[n]} for n in known]}

    store: Any = Parameters()
    references = [f"{arn}/flat", f"{arn}/rooted", f"{arn}/deep/name"]
    values = await read_references(store, references)
    assert [values[r] for r in references] == ["f", "r", "d"]
