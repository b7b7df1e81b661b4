"""ECS's cluster query language, as far as it concerns attributes of container instances.

``attribute:NAME == value``, ``!=``, ``=~`` (a regular expression), ``in [a, b]``, ``not_in``,
``exists``, ``!exists``, joined by ``and`` (``&&``), ``or`` (``||``), ``not`` (``!``) and brackets
(ECS developer guide, "cluster query language"). ``agentConnected``, ``ec2InstanceId`` and the other
subjects are not decided here: such an expression is "not known", and ECS has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_TOKENS = re.compile(
    r"""\s*(?:(?P<join>\(|\)|\[|\]|,|==|!=|=~|&&|\|\||!)|"(?P<quoted>[^"]*)"|(?P<word>[^\s()\[\],!=&|"]+))"""
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


class UnknownExpression(ValueError):  # noqa: N818 (it is no failure: ECS decides instead)
    """This expression can not be decided here."""


Test = Callable[[Mapping[str, str]], bool]


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
            token = quoted if quoted is not None else match["join"] or match["word"]
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

    def whole(self) -> Test:
        test = self._either()
        if self._at < len(self._tokens):
            raise UnknownExpression(self._text)
        return test

    def _either(self) -> Test:
        tests = [self._both()]
        while self._take("or", "||"):
            tests.append(self._both())
        return lambda attributes: any(t(attributes) for t in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._take("and", "&&"):
            tests.append(self._one())
        return lambda attributes: all(t(attributes) for t in tests)

    def _one(self) -> Test:
        if self._take("not", "!"):
            inner = self._one()
            return lambda attributes: not inner(attributes)
        if self._take("("):
            inner = self._either()
            self._need(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Test:
        subject = self._value()
        if not subject.startswith("attribute:"):
            raise UnknownExpression(self._text)
        name = subject.removeprefix("attribute:")
        if self._take("!"):
            self._need("exists")
            return lambda attributes: name not in attributes
        operator = _OPERATORS.get(self._value())
        if operator == "exists":
            return lambda attributes: name in attributes
        if operator in ("in", "not_in"):
            values, wanted = self._list(), operator == "in"
            return lambda attributes: (attributes.get(name) in values) == wanted
        if operator is None:
            raise UnknownExpression(self._text)
        value = self._value()
        if operator == "=~":
            pattern = _pattern(value, self._text)
            return lambda attributes: pattern.fullmatch(attributes.get(name, "")) is not None
        equal = operator == "=="
        return lambda attributes: (attributes.get(name) == value) == equal

    def _list(self) -> frozenset[str]:
        self._need("[")
        values = {self._value()}
        while self._take(","):
            values.add(self._value())
        self._need("]")
        return frozenset(values)


def _pattern(text: str, expression: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error:
        raise UnknownExpression(expression) from None


def parse_expression(text: str) -> Test:
    """A test of an instance's attributes. Raises `UnknownExpression`."""
    return _Parser(text).whole()


def holds(text: str, attributes: Mapping[str, str]) -> bool:
    """Whether an instance with ``attributes`` meets the expression; True where ECS must decide."""
    try:
        return parse_expression(text)(attributes)
    except UnknownExpression:
        return True
