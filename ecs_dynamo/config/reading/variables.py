"""Expansion of ``${NAME}``, ``${NAME:-default}``, ``$${`` and references to secrets.

A reference (``${ssm:/path}``, ``${secret:name}``) is never read here. As the value of a container's
environment variable it becomes an ECS `secrets` entry, so that only the container receives the
value. Elsewhere it is refused, because the value would be in plain text in a task definition that
anyone with ecs:Describe may read.

A variable is looked up in the graph file's ``variables``, then in the environment. A variable that
names itself means that of the environment, so ``HF_HOME: ${HF_HOME:-/models}`` works.

In a task definition, and in the command of a component, only declared variables are filled in
(`Variables.declared_only`): ``${HOME}`` there means that of the container, and must not come from
the shell that runs ecs-dynamo.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ecs_dynamo.common.arns import is_arn
from ecs_dynamo.model.ecs.partitions import partition_of

_BODY: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-(?P<text>.*))?", re.S)
_REFERENCE: Final = re.compile(r"(?P<kind>ssm|secret):(?P<name>[A-Za-z0-9/_+=.@:!-]+)")

# Only as a whole, or between the separators of ARNs, image names and host names, but never inside
# `$AWS_REGION` or `AWS_REGION=...` of a shell command.
_EXAMPLE_WORD: Final = re.compile(
    r"(?:(?<=^)|(?<=[:./@-]))(?P<word>AWS_REGION|AWS_ID)(?=$|[:./@-])"
)

AMBIENT: Final = frozenset({"AWS_REGION", "AWS_ID"})
"""Variables that task definitions have without a declaration: the graph's Region and account."""
MAX_DEPTH: Final = 20
"""Limit of the depth at which variables and defaults refer to each other."""
MAX_LENGTH: Final = 100_000
"""Limit of an expanded text, in characters: variables may repeat each other."""


class VariableError(ValueError):
    """A text cannot be expanded. ``remedy`` is what the user can do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Reference to a value that only the container may read. ``kind`` is ssm or secret."""

    kind: str
    name: str

    def value_from(self, region: str | None, account: str | None) -> str:
        """Return ECS's `valueFrom`: an ARN, or a parameter's name in the same Region.

        ECS takes secrets of Secrets Manager by ARN only, so a name needs Region and account. Raises
        `VariableError` where they are unknown.
        """
        if is_arn(self.name) or self.kind == "ssm":
            return self.name
        if region is None or account is None:
            missing = "region" if region is None else "account"
            raise VariableError(
                f"the {missing} of ${{secret:{self.name}}} is unknown",
                "set region and variables.AWS_ID, or write ${secret:<full ARN>}",
            )
        return f"arn:{partition_of(region)}:secretsmanager:{region}:{account}:secret:{self.name}"


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a text: a literal, or the body of ``${...}``."""

    text: str
    is_body: bool


def _pieces(text: str) -> Iterator[_Piece]:
    """Yield the literals and the bodies of ``${...}`` in ``text``, with braces matched."""
    start = position = 0
    while (at := text.find("${", position)) >= 0:
        if at > start and text[at - 1] == "$":
            yield _Piece(text[start : at - 1] + "${", is_body=False)
            start = position = at + 2
            continue
        depth, end = 1, at + 2
        while end < len(text) and depth:
            if text.startswith("${", end):
                depth, end = depth + 1, end + 2
                continue
            depth, end = depth - (text[end] == "}"), end + 1
        if depth:
            raise VariableError(
                "a ${ is not closed", "close it with }, or write $${ for a literal ${"
            )
        if at > start:
            yield _Piece(text[start:at], is_body=False)
        yield _Piece(text[at + 2 : end - 1], is_body=True)
        start = position = end
    if start < len(text):
        yield _Piece(text[start:], is_body=False)


@dataclass(frozen=True, slots=True)
class Variables:
    """The sources of values. ``region`` is the graph's Region."""

    own: Mapping[str, str]
    """The graph file's ``variables``, not expanded."""
    environ: Mapping[str, str]
    """The environment of this process."""
    region: str | None = None
    closed: bool = False
    """Whether the environment is used only for `AMBIENT` and within ``variables``."""
    _open: tuple[str, ...] = ()
    # Each variable is expanded once: repeated ones would cost exponential time otherwise.
    _known: dict[str, str | SecretReference] = field(default_factory=dict, compare=False)

    @property
    def account(self) -> str | None:
        """The AWS account: ``AWS_ID`` of the file's variables or of the environment."""
        return self.get("AWS_ID")

    def get(self, name: str) -> str | None:
        """Return the plain value of a variable; None if it has none or cannot be expanded."""
        try:
            value = self._look_up(name)
        except VariableError:
            return None
        return value if isinstance(value, str) and value else None

    def declared_only(self) -> Variables:
        """Return these variables for texts that a container receives."""
        return replace(self, closed=True)

    def declares(self, name: str) -> bool:
        """Return whether ``name`` is filled in in texts that a container receives."""
        return name in self.own or (name in AMBIENT and self._look_up(name) is not None)

    def expand_command(self, text: str, *, shell: bool) -> tuple[str, tuple[str, ...]]:
        """Return a word of a container's command with the declared variables filled in, and the
        names of the variables that are not declared.

        Undeclared variables belong to the container and stay as they are, as do forms of a shell
        such as ``${NAME%/}``. Where no ``shell`` reads the word, ``${NAME:-default}`` becomes its
        default. Raises `VariableError`.
        """
        parts: list[str] = []
        foreign: list[str] = []
        for piece in _pieces(text):
            match = _BODY.fullmatch(piece.text) if piece.is_body else None
            if not piece.is_body:
                parts.append(piece.text)
            elif _REFERENCE.fullmatch(piece.text) or (match and self.declares(match["name"])):
                parts.append(self.expand_text(f"${{{piece.text}}}"))
            elif match is None:
                parts.append(f"${{{piece.text}}}")
            else:
                foreign.append(match["name"])
                if match["default"] is None:
                    parts.append(f"${{{piece.text}}}")
                    continue
                inner, more = self._deeper(f"{match['name']}:-").expand_command(
                    match["text"], shell=shell
                )
                foreign += more
                parts.append(f"${{{match['name']}:-{inner}}}" if shell else inner)
        if len(self._open) > MAX_DEPTH:
            raise VariableError("variables refer to each other too deeply", "flatten them")
        return "".join(parts), tuple(foreign)

    def expand(self, text: str) -> str | SecretReference:
        """Return ``text`` with every variable filled in, or the reference that it consists of.

        Raises `VariableError`.
        """
        if len(self._open) > MAX_DEPTH:
            raise VariableError("variables refer to each other too deeply", "flatten them")
        pieces = list(_pieces(text))
        if len(pieces) == 1 and pieces[0].is_body:
            return self._body(pieces[0].text)
        parts: list[str] = []
        for piece in pieces:
            value = self._body(piece.text) if piece.is_body else piece.text
            if isinstance(value, SecretReference):
                raise VariableError(
                    f"${{{value.kind}:{value.name}}} must be the whole value",
                    "store the whole text as the secret: ecs-dynamo never reads it",
                )
            parts.append(value)
        expanded = "".join(parts)
        if len(expanded) > MAX_LENGTH:
            raise VariableError(f"this expands to more than {MAX_LENGTH} characters", "shorten it")
        return expanded

    def expand_text(self, text: str) -> str:
        """Return ``text`` with every variable filled in. A reference raises `VariableError`."""
        value = self.expand(text)
        if isinstance(value, SecretReference):
            raise VariableError(
                f"${{{value.kind}:{value.name}}} cannot be used here: it would be readable",
                "use it as the value of a container's environment variable, or put the plain "
                "value into variables",
            )
        return value

    def fill_example_words(self, text: str) -> str:
        """Replace the words ``AWS_REGION`` and ``AWS_ID`` of Dynamo's public ECS example."""

        def fill(match: re.Match[str]) -> str:
            word = match["word"]
            value = self.region if word == "AWS_REGION" else self.account
            if value is None:
                key = "region" if word == "AWS_REGION" else "variables.AWS_ID"
                raise VariableError(
                    f"the placeholder {word} has no value",
                    f"set {key} in the graph file, or {word} in the environment",
                )
            return value

        return _EXAMPLE_WORD.sub(fill, text)

    def _body(self, body: str) -> str | SecretReference:
        if reference := _REFERENCE.fullmatch(body):
            return SecretReference(reference["kind"], reference["name"])
        match = _BODY.fullmatch(body)
        if match is None:
            raise VariableError(
                f"${{{body[:60]}}} is neither a variable nor a reference",
                "write ${NAME}, ${NAME:-default}, ${ssm:/path} or ${secret:name}; "
                "$${ stands for a literal ${",
            )
        name = match["name"]
        value = self._look_up(name)
        if match["default"] is not None and value in (None, ""):
            return self._deeper(f"{name}:-").expand(match["text"])
        if value is None and self.closed:
            raise VariableError(
                f"the variable {name} is not declared, and a task definition gets no others",
                f"write {name}: ${{{name}}} under variables in the graph file to take it from "
                f"the environment, ${{{name}:-default}} here, or $${{{name}}} for a literal "
                f"${{{name}}}",
            )
        if value is None:
            raise VariableError(
                f"the variable {name} is not set",
                f"set it under variables or in the environment, write ${{{name}:-default}}, "
                "or $${ for a literal ${",
            )
        return value

    def _look_up(self, name: str) -> str | SecretReference | None:
        if name not in self.own:
            # The graph file's own region is the better answer than the process's environment.
            own_region = self.region if name == "AWS_REGION" else None
            if self.closed and name not in AMBIENT:
                return None
            return own_region or self.environ.get(name)
        if name not in self._open:
            if name not in self._known:
                opened = replace(self, closed=False, _open=(*self._open, name))
                self._known[name] = opened.expand(self.own[name])
            return self._known[name]
        if self._open[-1] in (name, f"{name}:-"):
            return self.environ.get(name)
        chain = " -> ".join([*(step for step in self._open if step in self.own), name])
        raise VariableError(
            f"variables refer to each other: {chain}", "remove one of these references"
        )

    def _deeper(self, name: str) -> Variables:
        return replace(self, _open=(*self._open, name))
