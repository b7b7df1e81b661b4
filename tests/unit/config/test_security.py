"""Declared TLS and credentials: references alone, and servers that fit them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.model.errors import InputError
from tests.helpers.graph_files import ENVIRON, TLS, Edit, load, warnings


def security(**parts: Any) -> Edit:
    return lambda d: d["infrastructure"].update(security=parts)


def test_references_become_what_ecs_takes(folder: Path) -> None:
    tls = load(folder, security(etcd={"tls": TLS}), ENVIRON).security.etcd.tls
    assert tls is not None
    prefix = "arn:aws:secretsmanager:us-east-1:123456789012:secret"
    assert (tls.ca, tls.client_cert, tls.client_key) == (
        f"{prefix}:ca",
        f"{prefix}:cert:pem::",
        "/key",
    )


@pytest.mark.parametrize("value", ["hunter2", "p@ss w/rd", 4711, ["hunter2"]])
def test_a_plain_value_is_refused_and_not_repeated(folder: Path, value: object) -> None:
    with pytest.raises(InputError) as refused:
        load(folder, security(nats={"token": value}), ENVIRON)
    text = str(refused.value)
    assert "infrastructure.security.nats.token" in text
    assert "hunter2" not in text
    assert "w/rd" not in text
    assert "4711" not in text


def test_servers_that_do_not_fit_are_reported(folder: Path) -> None:
    def external(document: Any) -> None:
        document["infrastructure"] = {
            "etcd": {"endpoints": ["http://etcd.internal:2379"]},
            "nats": {"endpoints": ["tls://nats.internal:4222"]},
            "security": {"etcd": {"tls": TLS}},
        }

    text = warnings(folder, external)
    assert "write https://" in text
    assert "declare infrastructure.security.nats.tls" in text


def test_own_servers_need_to_speak_it(folder: Path) -> None:
    text = warnings(folder, security(etcd={"tls": TLS}))
    assert "add --cert-file" in text
    assert "must name the address" in text
    path = folder / "taskdefs" / "etcd-nats.json"
    content = json.loads(path.read_text())
    content["containerDefinitions"][0]["command"] += ["--cert-file=/tls/cert.pem"]
    path.write_text(json.dumps(content))
    assert "add --cert-file" not in warnings(folder, security(etcd={"tls": TLS}))
    assert "etcd is configured to use TLS" in warnings(folder, security())


def test_what_cannot_be_is_an_error(folder: Path) -> None:
    def no_nats(document: Any) -> None:
        document["infrastructure"] = {
            "etcd": {"endpoints": ["http://etcd.internal:2379"]},
            "security": {"nats": {"token": "${secret:t}"}},
        }

    with pytest.raises(InputError, match="the graph has no NATS"):
        load(folder, no_nats, ENVIRON)
    path = folder / "taskdefs" / "decode.json"
    content = json.loads(path.read_text())
    content.pop("executionRoleArn", None)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"decode receives secrets.*executionRoleArn"):
        load(folder, security(etcd={"tls": TLS}), ENVIRON)


def test_a_variable_of_ones_own_beside_it_is_reported(folder: Path) -> None:
    def both(document: Any) -> None:
        security(nats={"token": "${secret:t}"})(document)
        document["components"][1]["env"] = {"NATS_AUTH_TOKEN": "hunter2"}

    text = warnings(folder, both)
    assert "NATS_AUTH_TOKEN is declared here" in text
    assert "hunter2" not in text
