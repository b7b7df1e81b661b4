"""``${NAME}``, ``${NAME:-default}``, ``$${`` and references to secrets.

A reference (``${ssm:/path}``, ``${secret:name}``) is never read here: where it is a container's
environment value it becomes an ECS `secrets` entry, so that the value travels from the store to
the container alone. Elsewhere it is refused, since it would end up in plain text in a task
definition that anyone with ecs:Describe may read.

A variable is looked up in the graph file's ``variables``, then in the environment. A variable that
names itself means the environment's, so ``HF_HOME: ${HF_HOME:-/models}`` works.

In a task definition, and in the command of a component, only declared variables are filled in
(`Variables.declared_only`): ``${HOME}`` there means the container's, and must not come from the
shell of whoever runs ecs-dynamo.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ecs_dynamo.common.arns import is_arn
from ecs_dynamo.model.ecs.partitions import partition_of

_BODY: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-(?P<text>.*))?", re.S)
_REFERENCE: Final = re.compile(r"(?P<kind>ssm|secret):(?P<name>[A-Za-z0-9/_+=.@:!-]+)")

# Only as a whole, or between the characters that part ARNs, image names and host names: never
# inside a shell command's `$AWS_REGION` or `AWS_REGION=...`.
_SEED_WORD: Final = re.compile(r"(?:(?<=^)|(?<=[:./@-]))(?P<word>AWS_REGION|AWS_ID)(?=$|[:./@-])")

AMBIENT: Final = frozenset({"AWS_REGION", "AWS_ID"})
"""Variables that a task definition has without declaring them: the graph's Region and account."""
MAX_DEPTH: Final = 20
"""How deep variables and defaults may refer to each other."""
MAX_LENGTH: Final = 100_000
"""Bounds what variables that repeat each other may grow to."""


class VariableError(ValueError):
    """A text can not be expanded; ``remedy`` tells what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A value that only the container may see: ``kind`` is ssm or secret."""

    kind: str
    name: str

    def value_from(self, region: str | None, account: str | None) -> str:
        """What ECS takes as `valueFrom`: an ARN, or a parameter's name in the same region.

        ECS knows secrets of Secrets Manager by ARN only, so a name needs region and account.
        """
        if is_arn(self.name) or self.kind == "ssm":
            return self.name
        if region is None or account is None:
            missing = "region" if region is None else "account"
            raise VariableError(
                f"the {missing} of ${{secret:{self.name}}} is not known",
                "set region and variables.AWS_ID, or write ${secret:<full ARN>}",
            )
        return f"arn:{partition_of(region)}:secretsmanager:{region}:{account}:secret:{self.name}"


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Literal texts (False) and the bodies of ``${...}`` (True), braces matched."""
    start = position = 0
    while (at := text.find("${", position)) >= 0:
        if at > start and text[at - 1] == "$":
            yield False, text[start : at - 1] + "${"
            start = position = at + 2
            continue
        depth, end = 1, at + 2
        while end < len(text) and depth:
            if text.startswith("${", end):
                depth, end = depth + 1, end + 2
                continue
            depth, end = depth - (text[end] == "}"), end + 1
        if depth:
            raise VariableError("a ${ is not closed", "close it with }, or write $${ for itself")
        if at > start:
            yield False, text[start:at]
        yield True, text[at + 2 : end - 1]
        start = position = end
    if start < len(text):
        yield False, text[start:]


@dataclass(frozen=True, slots=True)
class Variables:
    """Where values come from. ``region`` and the account fill the seed's placeholder words."""

    own: Mapping[str, str]
    environ: Mapping[str, str]
    region: str | None = None
    closed: bool = False
    """The environment counts for `AMBIENT`, and within ``variables``, alone."""
    _open: tuple[str, ...] = ()
    # Each variable is expanded once: repeated ones would cost exponential time otherwise.
    _known: dict[str, str | SecretReference] = field(default_factory=dict, compare=False)

    @property
    def account(self) -> str | None:
        """The AWS account: ``AWS_ID`` of the file's variables or the environment."""
        return self.get("AWS_ID")

    def get(self, name: str) -> str | None:
        """The plain value of a variable; None where it has none, or none that can be had."""
        try:
            value = self._look_up(name)
        except VariableError:
            return None
        return value if isinstance(value, str) and value else None

    def declared_only(self) -> Variables:
        """These variables for texts that a container gets."""
        return Variables(self.own, self.environ, self.region, True, self._open, self._known)

    def declares(self, name: str) -> bool:
        """Whether ``name`` is filled in where a container gets the text."""
        return name in self.own or (name in AMBIENT and self._look_up(name) is not None)

    def expand_command(self, text: str, *, shell: bool) -> tuple[str, tuple[str, ...]]:
        """A word of a container's command with the declared variables filled in, and the names of
        those that are not declared.

        What is not declared belongs to the container and stays as it is, a shell's own forms such
        as ``${NAME%/}`` too. Where no ``shell`` reads the word, ``${NAME:-default}`` becomes its
        default. Raises `VariableError`.
        """
        parts: list[str] = []
        foreign: list[str] = []
        for is_body, piece in _pieces(text):
            match = _BODY.fullmatch(piece) if is_body else None
            if not is_body:
                parts.append(piece)
            elif _REFERENCE.fullmatch(piece) or (match and self.declares(match["name"])):
                parts.append(self.expand_text(f"${{{piece}}}"))
            elif match is None:
                parts.append(f"${{{piece}}}")
            else:
                foreign.append(match["name"])
                if match["default"] is None:
                    parts.append(f"${{{piece}}}")
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
        """``text`` with every variable filled in; a lone reference is returned as such."""
        if len(self._open) > MAX_DEPTH:
            raise VariableError("variables refer to each other too deeply", "flatten them")
        pieces = list(_pieces(text))
        if len(pieces) == 1 and pieces[0][0]:
            return self._body(pieces[0][1])
        parts: list[str] = []
        for is_body, piece in pieces:
            value = self._body(piece) if is_body else piece
            if isinstance(value, SecretReference):
                raise VariableError(
                    f"${{{value.kind}:{value.name}}} must be the whole value",
                    "store the whole text as the secret: it is never read here",
                )
            parts.append(value)
        expanded = "".join(parts)
        if len(expanded) > MAX_LENGTH:
            raise VariableError(f"this expands to more than {MAX_LENGTH} characters", "shorten it")
        return expanded

    def expand_text(self, text: str) -> str:
        """`expand` where no secret may be."""
        value = self.expand(text)
        if isinstance(value, SecretReference):
            raise VariableError(
                f"${{{value.kind}:{value.name}}} can not be used here: it would be readable",
                "use it as the value of a container's environment variable, or put the plain "
                "value into variables",
            )
        return value

    def fill_seed_words(self, text: str) -> str:
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

        return _SEED_WORD.sub(fill, text)

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
                opened = Variables(
                    self.own, self.environ, self.region, False, (*self._open, name), self._known
                )
                self._known[name] = opened.expand(self.own[name])
            return self._known[name]
        if self._open[-1] in (name, f"{name}:-"):
            return self.environ.get(name)
        chain = " -> ".join([*(step for step in self._open if step in self.own), name])
        raise VariableError(f"variables refer to each other: {chain}", "break the circle")

    def _deeper(self, name: str) -> Variables:
        return Variables(
            self.own, self.environ, self.region, self.closed, (*self._open, name), self._known
        )
