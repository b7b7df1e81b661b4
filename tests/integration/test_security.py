"""TLS and credentials of etcd and NATS, with real servers and the real Dynamo."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import nkeys
import pytest

from ecs_dynamo.controller import Pass, Reconciler
from ecs_dynamo.demo.daemon import DemoDaemon
from ecs_dynamo.discovery import probe
from ecs_dynamo.discovery.credentials import (
    NO_CREDENTIALS,
    Credentials,
    EtcdCredentials,
    NatsCredentials,
    Tls,
)
from ecs_dynamo.discovery.etcd import open_etcd
from ecs_dynamo.local.wire.protocol import ACCOUNT
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.graph import Role
from tests.integration.secure_servers import Authority, secure_etcd, secure_nats
from tests.integration.stack import Stack, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

PASSWORD = "p@ss:w/rd-7f3a91"


async def rejection(role: Role, url: str, credentials: Credentials) -> str:
    """Return why the server rejects ``credentials``."""
    answer = await probe(role, url, 3.0, credentials)
    assert not answer.healthy
    assert answer.refused, answer.detail
    return answer.detail


async def test_etcd_with_a_password(tmp_path: Path) -> None:
    good = Credentials(EtcdCredentials(username="dynamo", password=PASSWORD))
    async with secure_etcd(tmp_path, None, good) as url:
        assert (await probe(Role.ETCD, url, 3.0, good)).healthy
        async with open_etcd(url, 3.0, good.etcd) as client:
            await client.put(b"v1/x", b"1")
            assert (await client.get(b"v1/x")).value == b"1"
        wrong = Credentials(EtcdCredentials(username="dynamo", password="wrong-7f3a91"))
        assert "wrong-7f3a91" not in await rejection(Role.ETCD, url, wrong)
        await rejection(Role.ETCD, url, NO_CREDENTIALS)


async def test_etcd_with_tls(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    own = authority.issue("dynamo")
    good = Credentials(EtcdCredentials(Tls(authority.ca, own.cert, own.key)))
    async with secure_etcd(tmp_path, authority, good) as url:
        assert (await probe(Role.ETCD, url, 3.0, good)).healthy
        async with open_etcd(url, 3.0, good.etcd) as client:
            await client.put(b"v1/x", b"1")
            assert (await client.get(b"v1/x")).value == b"1"
        await rejection(
            Role.ETCD, url, Credentials(EtcdCredentials(Tls(other.ca, own.cert, own.key)))
        )
        await rejection(Role.ETCD, url, Credentials(EtcdCredentials(Tls("no certificate"))))
        assert not (
            await probe(Role.ETCD, url, 3.0, Credentials(EtcdCredentials(Tls(authority.ca))))
        ).healthy
        plain = url.replace("https", "http")
        assert not (await probe(Role.ETCD, plain, 3.0, good)).healthy
        # The certificate must contain the declared name.
        named = [
            Credentials(
                EtcdCredentials(Tls(authority.ca, own.cert, own.key, f"{name}.dynamo.local"))
            )
            for name in ("server", "another")
        ]
        assert (await probe(Role.ETCD, url, 3.0, named[0])).healthy
        await rejection(Role.ETCD, url, named[1])


def nkey() -> tuple[str, str]:
    """Return the seed of a user, and its public key."""
    seed = bytes(nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER))
    return seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode()


SEED, PUBLIC = nkey()


@pytest.mark.parametrize(
    ("rights", "credentials"),
    [
        (
            f"authorization {{ users: [{{ user: dynamo, password: '{PASSWORD}' }}] }}",
            NatsCredentials(username="dynamo", password=PASSWORD),
        ),
        (f"authorization {{ token: '{PASSWORD}' }}", NatsCredentials(token=PASSWORD)),
        (f"authorization {{ users: [{{ nkey: {PUBLIC} }}] }}", NatsCredentials(nkey=SEED)),
    ],
    ids=["password", "token", "nkey"],
)
async def test_nats_with_tls_and_credentials(
    tmp_path: Path, rights: str, credentials: NatsCredentials
) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    own = authority.issue("dynamo")
    tls = Tls(authority.ca, own.cert, own.key)
    good = Credentials(nats=replace(credentials, tls=tls))
    async with secure_nats(tmp_path, authority, rights, good, verify=True) as url:
        await rejection(Role.NATS, url, Credentials(nats=NatsCredentials(tls=tls)))
        await rejection(
            Role.NATS, url, Credentials(nats=replace(credentials, tls=replace(tls, ca=other.ca)))
        )
        await rejection(
            Role.NATS, url, Credentials(nats=replace(credentials, tls=replace(tls, key="none")))
        )
        named = Credentials(
            nats=replace(credentials, tls=replace(tls, server_name="nats.dynamo.local"))
        )
        assert (await probe(Role.NATS, url, 3.0, named)).healthy
        another = replace(tls, server_name="another.dynamo.local")
        await rejection(Role.NATS, url, Credentials(nats=replace(credentials, tls=another)))
        if credentials.password:
            wrong = Credentials(nats=replace(good.nats, password="wrong-7f3a91"))
            assert "wrong-7f3a91" not in await rejection(Role.NATS, url, wrong)
        if credentials.nkey:
            broken = Credentials(nats=replace(good.nats, nkey="SUBROKEN"))
            assert "SUBROKEN" not in await rejection(Role.NATS, url, broken)


async def store(
    stack: Stack, secrets: dict[str, str], parameters: dict[str, str]
) -> dict[str, str]:
    """Put values into Secrets Manager and SSM; return the reference for each name."""
    references: dict[str, str] = {}
    async with stack.client("secretsmanager") as manager, stack.client("ssm") as ssm:
        for name, value in secrets.items():
            references[name] = (await manager.create_secret(Name=name, SecretString=value))["ARN"]
        for name, value in parameters.items():
            await ssm.put_parameter(Name=f"/{name}", Value=value, Type="SecureString")
            references[name] = f"${{ssm:/{name}}}"
    return references


async def test_dynamo_over_tls_and_with_credentials(stack: Stack, tmp_path: Path) -> None:
    """etcd by client certificate, NATS by TLS and password: it serves, and no value is shown."""
    authority = Authority(tmp_path / "ca")
    own = authority.issue("dynamo")
    user = json.dumps({"user": "dynamo", "password": PASSWORD})
    references = await store(
        stack, {"ca": authority.ca, "nats": user}, {"cert": own.cert, "key": own.key}
    )
    credentials = Credentials(
        EtcdCredentials(Tls(authority.ca, own.cert, own.key)),
        NatsCredentials(Tls(authority.ca), "dynamo", PASSWORD),
    )
    rights = f"authorization {{ users: [{{ user: dynamo, password: '{PASSWORD}' }}] }}"
    prefixes = ("v1/", "ecs-dynamo/leaders/")
    async with (
        secure_etcd(tmp_path, authority, credentials, prefixes) as etcd,
        secure_nats(tmp_path, authority, rights, credentials) as nats,
    ):

        def secure(graph: dict[str, Any]) -> None:
            graph["infrastructure"] = {
                "etcd": {"endpoints": [etcd]},
                "nats": {"endpoints": [nats]},
                "security": {
                    "etcd": {
                        "tls": {
                            "ca": references["ca"],
                            "clientCert": references["cert"],
                            "clientKey": references["key"],
                        }
                    },
                    "nats": {
                        "tls": {"ca": references["ca"], "caPath": str(authority.path("ca.pem"))},
                        "username": f"{references['nats']}:user::",
                        "password": f"{references['nats']}:password::",
                    },
                },
            }
            graph["runtime"] |= {"requestPlane": "nats", "eventPlane": "nats"}
            for component in graph["components"]:
                component.pop("scaling", None)

        stack.edit(secure)
        code, out, err = await stack.cli("validate", "-f", str(stack.graph_file))
        assert code == 0, err
        await stack.converge()
        await stack.chat()
        assert {r.component for r in stack.last.snapshot.registrations} >= {"backend", "prefill"}  # type: ignore[union-attr]  # converged, so it is known

        log = stack.folder / "daemon.log"
        environ = stack.environ | {
            "ECS_DYNAMO_LEASE_ETCD": "true",
            "ECS_DYNAMO_LOG_LEVEL": "debug",
        }
        daemon = DemoDaemon(stack.graph_file, environ, log)
        await daemon.start()
        await daemon.until("leads", lambda s: bool(s.get("leads") and s.get("converged")), 40)
        texts = [out, err, log.read_text(), *(await pages(daemon.url))]
        code, _ = await daemon.stop()
        assert code == 0
        account = ("--account", ACCOUNT)
        for words in (("plan", "--json"), ("status", "--json"), ("iam", "render", *account)):
            code, out, err = await stack.cli(*words, "-f", str(stack.graph_file))
            assert code == 0, err
            texts += [out, err]
        assert f"{references['nats']}-??????" in texts[-2]
        texts.append(json.dumps(await describe_everything(stack), default=str))
        assert f"{references['nats']}:password::" in texts[-1]
        for text in texts:
            for value in (PASSWORD, own.key.splitlines()[1], own.cert.splitlines()[3]):
                assert value not in text

        await assert_rotation(stack, references["nats"])


async def pages(url: str) -> list[str]:
    async with aiohttp.ClientSession() as session:
        texts = []
        for path in ("/", "/status", "/metrics"):
            async with session.get(f"{url}{path}") as answer:
                texts.append(await answer.text())
        return texts


async def describe_everything(stack: Stack) -> list[Any]:
    """Return ECS's descriptions of the graph's services and task definitions, with tags."""
    descriptions: list[Any] = []
    for component in stack.graph.components:
        services = await stack.aws(
            "DescribeServices",
            cluster=component.cluster,
            services=[stack.service(component.name).name],
            include=["TAGS"],
        )
        arn = services["services"][0]["taskDefinition"]
        descriptions += [
            services,
            await stack.aws("DescribeTaskDefinition", taskDefinition=arn, include=["TAGS"]),
        ]
    return descriptions


async def assert_rotation(stack: Stack, secret: str) -> None:
    """A wrong password is a condition with a reason; a corrected one is used automatically."""

    async def put(password: str) -> None:
        async with stack.client("secretsmanager") as manager:
            text = json.dumps({"user": "dynamo", "password": password})
            await manager.put_secret_value(SecretId=secret, SecretString=text)

    def degraded(done: Pass) -> str:
        conditions = [
            c
            for c in done.plan.conditions
            if c.type is ConditionType.DEGRADED and c.component is None
        ]
        (condition,) = conditions
        return condition.message if condition.status else ""

    async def wait_for_condition(reconciler: Reconciler, *, status: bool) -> Pass:
        passes: list[Pass] = []

        async def reached() -> bool:
            passes.append(await reconciler.run_pass(act=False))
            await asyncio.sleep(0.2)
            return bool(degraded(passes[-1])) is status

        await until("the condition is reported", reached, 20)
        return passes[-1]

    await put("wrong-7f3a91")
    async with stack.reconciler() as reconciler:
        done = await wait_for_condition(reconciler, status=True)
        message = degraded(done)
        assert "uthorization" in message
        assert "infrastructure.security" in message
        assert "wrong-7f3a91" not in message
        assert not done.plan.actions  # Tasks with the old password are left alone.
        await put(PASSWORD)
        assert (await wait_for_condition(reconciler, status=False)).converged
