"""ECS's cluster query language for attributes of container instances.

Supported are ``attribute:NAME == value``, ``!=``, ``=~`` (a regular expression), ``in [a, b]``,
``not_in``, ``exists``, ``!exists``, joined by ``and`` (``&&``), ``or`` (``||``), ``not`` (``!``)
and brackets; ``ec2InstanceId`` instead of an attribute is the id of the instance itself (ECS
developer guide, "cluster query language"). Expressions with ``agentConnected`` and other subjects
are unknown: only ECS can evaluate them.
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


class UnknownExpression(ValueError):  # noqa: N818 (not a failure: ECS evaluates it instead)
    """The expression cannot be evaluated here."""


EC2_INSTANCE_ID = "@ec2InstanceId"
"""Key of the instance's id among its attributes, for `holds`. No attribute has such a name."""
_SUBJECTS = {"ec2InstanceId": EC2_INSTANCE_ID}
_Test = Callable[[Mapping[str, str]], bool]


@dataclass(frozen=True, slots=True)
class Expression:
    """A test of an instance's attributes.

    ``instances`` are the EC2 ids of all instances that can meet it; None: any instance can.
    """

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

    def _take(self, *tokens: str) -> bool:
        if self._peek() in tokens:
            self._at += 1
            return True
        return False

    def _value(self) -> str:
        if self._at >= len(self._tokens):
            raise UnknownExpression(self._text)
        self._at += 1
        return self._tokens[self._at - 1][0]

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise UnknownExpression(self._text)

    def whole(self) -> Expression:
        expression = self._disjunction()
        if self._at < len(self._tokens):
            raise UnknownExpression(self._text)
        return expression

    def _disjunction(self) -> Expression:
        expression = self._conjunction()
        while self._take("or", "||"):
            expression = _either(expression, self._conjunction())
        return expression

    def _conjunction(self) -> Expression:
        expression = self._term()
        while self._take("and", "&&"):
            expression = _both(expression, self._term())
        return expression

    def _term(self) -> Expression:
        if self._take("not", "!"):
            inner = self._term()
            return Expression(lambda attributes: not inner(attributes))
        if self._take("("):
            expression = self._disjunction()
            self._expect(")")
            return expression
        return self._comparison()

    def _comparison(self) -> Expression:
        subject = self._value()
        name = _SUBJECTS.get(subject) or subject.removeprefix("attribute:")
        if name == subject:
            raise UnknownExpression(self._text)
        if self._take("!"):
            self._expect("exists")
            return Expression(lambda attributes: name not in attributes)
        operator = _OPERATORS.get(self._value())
        if operator == "exists":
            return Expression(lambda attributes: name in attributes)
        if operator in ("in", "not_in"):
            values, is_in = self._list(), operator == "in"
            return Expression(
                lambda attributes: (attributes.get(name) in values) == is_in,
                values if is_in and name == EC2_INSTANCE_ID else None,
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
        self._expect("[")
        values = {self._value()}
        while self._take(","):
            values.add(self._value())
        self._expect("]")
        return frozenset(values)


def _either(left: Expression, right: Expression) -> Expression:
    known = left.instances is not None and right.instances is not None
    return Expression(
        lambda attributes: left(attributes) or right(attributes),
        (left.instances or frozenset()) | (right.instances or frozenset()) if known else None,
    )


def _both(left: Expression, right: Expression) -> Expression:
    sets = [e.instances for e in (left, right) if e.instances is not None]
    return Expression(
        lambda attributes: left(attributes) and right(attributes),
        frozenset.intersection(*sets) if sets else None,
    )


def _pattern(text: str, expression: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error:
        raise UnknownExpression(expression) from None


def parse_expression(text: str) -> Expression:
    """Return the test that the text expresses. Raises `UnknownExpression`."""
    return _Parser(text).whole()


def holds(text: str, attributes: Mapping[str, str]) -> bool:
    """Return whether an instance with ``attributes`` meets the expression; True if unknown."""
    try:
        return parse_expression(text)(attributes)
    except UnknownExpression:
        return True


def instances_of(text: str) -> frozenset[str] | None:
    """Return the ids of the only EC2 instances that can meet the expression; None if any can."""
    try:
        return parse_expression(text).instances
    except UnknownExpression:
        return None
