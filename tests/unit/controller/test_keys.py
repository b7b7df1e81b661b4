"""The daemon's keys: read once, again when refused, and kept while the store is away."""

from __future__ import annotations

import json
from typing import Any

from ecs_dynamo.aws.secrets import read_references
from ecs_dynamo.controller.reconcile.credentials import (
    AGAIN_SECONDS,
    FRESH_SECONDS,
    Keys,
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
        self.away = False

    async def call(self, service: str, operation: str, /, **asked: Any) -> dict[str, Any]:
        self.calls.append((operation, asked))
        if self.away:
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


async def test_they_are_read_again_when_they_were_refused() -> None:
    store, clock = Store(), Clock()
    keys = Keys(store, clock)  # type: ignore[arg-type]  # all that is asked of it here
    found = await keys.read(SECURITY)
    assert (found.etcd.username, found.etcd.password) == ("u", "p")
    assert (found.nats.username, found.nats.password) == ("dynamo", "first-pw")
    assert {"SecretId": SM, "VersionStage": "AWSCURRENT"} in [a for _, a in store.calls]
    assert "first-pw" not in repr(found)
    asked = len(store.calls)
    assert await keys.read(SECURITY) is found
    assert len(store.calls) == asked
    store.password = "second-pw"
    keys.refused()
    assert (await keys.read(SECURITY)).nats.password == "first-pw"  # not so soon
    clock.now += AGAIN_SECONDS
    assert (await keys.read(SECURITY)).nats.password == "second-pw"
    asked = len(store.calls)
    clock.now += AGAIN_SECONDS
    await keys.read(SECURITY)
    assert len(store.calls) == asked
    clock.now += FRESH_SECONDS
    await keys.read(SECURITY)
    assert len(store.calls) > asked


async def test_a_store_that_is_away_is_told_and_asked_again() -> None:
    store, clock = Store(), Clock()
    keys = Keys(store, clock)  # type: ignore[arg-type]  # all that is asked of it here
    store.away = True
    found = await keys.read(SECURITY)
    assert found.problem is not None
    assert "AccessDenied" in found.problem
    store.away = False
    clock.now += AGAIN_SECONDS
    good = await keys.read(SECURITY)
    assert good.problem is None
    store.away = True
    clock.now += FRESH_SECONDS
    assert await keys.read(SECURITY) is good  # those of before may be good still


async def test_a_missing_part_is_named_and_not_shown() -> None:
    keys = Keys(Store())  # type: ignore[arg-type]  # all that is asked of it here
    wrong = SecuritySpec.model_validate({"nats": {"token": f"{SM}:token::"}})
    problem = (await keys.read(wrong)).problem or ""
    assert "no JSON key token" in problem
    assert "dynamo" not in problem.replace(SM, "")
    assert (await keys.read(SecuritySpec())).problem is None


async def test_servers_that_have_names_are_known_by_them() -> None:
    store = Store()
    keys = Keys(store)  # type: ignore[arg-type]  # all that is asked of it here
    security = SecuritySpec.model_validate({"nats": {"tls": {}, "token": "/user"}})
    names = {Role.ETCD: "etcd.dynamo.local", Role.NATS: "nats.dynamo.local"}
    found = await keys.read(security, names)
    # etcd has no TLS, and so no certificate with a name.
    assert (found.nats.tls.server_name, found.etcd.tls.server_name) == ("nats.dynamo.local", None)
    asked = len(store.calls)
    assert await keys.read(security, names) is found
    assert len(store.calls) == asked
    assert (await keys.read(security, {})).nats.tls.server_name is None
    public = SecuritySpec.model_validate({"nats": {"tls": {}}})
    assert (await keys.read(public, names)).nats.tls.server_name == "nats.dynamo.local"


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
