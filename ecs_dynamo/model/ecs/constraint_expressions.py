"""ECS's cluster query language, as far as it concerns attributes of container instances.

``attribute:NAME == value``, ``!=``, ``=~`` (a regular expression), ``in [a, b]``, ``not_in``,
``exists``, ``!exists``, joined by ``and`` (``&&``), ``or`` (``||``), ``not`` (``!``) and brackets;
``ec2InstanceId`` instead of an attribute is the id of the instance itself (ECS developer guide,
"cluster query language"). ``agentConnected`` and the other subjects are not evaluated here: such an
expression is unknown, and ECS decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_TOKENS = re.compile(
    r"""\s*(?:(?P<join>\(|\)|\[|\]|,|==|!=|=~|&&|\|\||!)|(?P<quoted>"[^"]*"|'[^']*')|(?P<word>[^\s()\[\],!=&|"']+))"""
)
_OPERATORS = {
    "==": "==",
    "equals": "==",
    "!=": "!=",
    "not_equals": "!=",
    "=~": "=~",
    "matches": "=~",
    "in": "in",
    "not_in": "not_in",
    "exists": "exists",
}


class UnknownExpression(ValueError):  # noqa: N818 (not an error: ECS decides instead)
    """The expression cannot be evaluated here."""


EC2_INSTANCE_ID = "@ec2InstanceId"
"""An instance's id among its attributes, for `holds`: no attribute's name has such a character."""
_SUBJECTS = {"ec2InstanceId": EC2_INSTANCE_ID}
_Test = Callable[[Mapping[str, str]], bool]


@dataclass(frozen=True, slots=True)
class Expression:
    """A test of an instance's attributes. ``instances``: the only ids that can meet it, or None."""

    test: _Test
    instances: frozenset[str] | None = None

    def __call__(self, attributes: Mapping[str, str]) -> bool:
        return self.test(attributes)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, bool]] = []
        at = 0
        while text[at:].strip():
            match = _TOKENS.match(text, at)
            if match is None:
                raise UnknownExpression(text)
            quoted = match["quoted"]
            token = quoted[1:-1] if quoted is not None else match["join"] or match["word"]
            self._tokens.append((token, quoted is not None))
            at = match.end()
        self._at = 0

    def _peek(self) -> str | None:
        if self._at >= len(self._tokens):
            return None
        token, quoted = self._tokens[self._at]
        return None if quoted else token

    def _take(self, *wanted: str) -> bool:
        if self._peek() in wanted:
            self._at += 1
            return True
        return False

    def _value(self) -> str:
        if self._at >= len(self._tokens):
            raise UnknownExpression(self._text)
        self._at += 1
        return self._tokens[self._at - 1][0]

    def _need(self, token: str) -> None:
        if not self._take(token):
            raise UnknownExpression(self._text)

    def whole(self) -> Expression:
        made = self._either()
        if self._at < len(self._tokens):
            raise UnknownExpression(self._text)
        return made

    def _either(self) -> Expression:
        made = self._both()
        while self._take("or", "||"):
            made = _either(made, self._both())
        return made

    def _both(self) -> Expression:
        made = self._one()
        while self._take("and", "&&"):
            made = _both(made, self._one())
        return made

    def _one(self) -> Expression:
        if self._take("not", "!"):
            inner = self._one()
            return Expression(lambda attributes: not inner(attributes))
        if self._take("("):
            made = self._either()
            self._need(")")
            return made
        return self._comparison()

    def _comparison(self) -> Expression:
        subject = self._value()
        name = _SUBJECTS.get(subject) or subject.removeprefix("attribute:")
        if name == subject:
            raise UnknownExpression(self._text)
        if self._take("!"):
            self._need("exists")
            return Expression(lambda attributes: name not in attributes)
        operator = _OPERATORS.get(self._value())
        if operator == "exists":
            return Expression(lambda attributes: name in attributes)
        if operator in ("in", "not_in"):
            values, wanted = self._list(), operator == "in"
            return Expression(
                lambda attributes: (attributes.get(name) in values) == wanted,
                values if wanted and name == EC2_INSTANCE_ID else None,
            )
        if operator is None:
            raise UnknownExpression(self._text)
        value = self._value()
        if operator == "=~":
            pattern = _pattern(value, self._text)
            return Expression(
                lambda attributes: pattern.fullmatch(attributes.get(name, "")) is not None
            )
        equal = operator == "=="
        return Expression(
            lambda attributes: (attributes.get(name) == value) == equal,
            frozenset({value}) if equal and name == EC2_INSTANCE_ID else None,
        )

    def _list(self) -> frozenset[str]:
        self._need("[")
        values = {self._value()}
        while self._take(","):
            values.add(self._value())
        self._need("]")
        return frozenset(values)


def _either(one: Expression, other: Expression) -> Expression:
    known = one.instances is not None and other.instances is not None
    return Expression(
        lambda attributes: one(attributes) or other(attributes),
        (one.instances or frozenset()) | (other.instances or frozenset()) if known else None,
    )


def _both(one: Expression, other: Expression) -> Expression:
    sets = [e.instances for e in (one, other) if e.instances is not None]
    return Expression(
        lambda attributes: one(attributes) and other(attributes),
        frozenset.intersection(*sets) if sets else None,
    )


def _pattern(text: str, expression: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error:
        raise UnknownExpression(expression) from None


def parse_expression(text: str) -> Expression:
    """Parse the text into a test of an instance. Raises `UnknownExpression`."""
    return _Parser(text).whole()


def holds(text: str, attributes: Mapping[str, str]) -> bool:
    """Whether an instance with ``attributes`` meets the expression; True if only ECS can decide."""
    try:
        return parse_expression(text)(attributes)
    except UnknownExpression:
        return True


def instances_of(text: str) -> frozenset[str] | None:
    """Return the only EC2 instance ids that can meet the expression; None if others may."""
    try:
        return parse_expression(text).instances
    except UnknownExpression:
        return None
