"""Errors that a user can act on. Each has an exit code and is shown without a traceback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Exit status of the command line."""

    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    NOT_CONVERGED = 3
    CHANGES = 4


class EcsDynamoError(Exception):
    """Base of every error that is shown to the user as one message."""

    exit_code: ExitCode = ExitCode.FAILED


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of the input: where it is, what is wrong, and how to correct it.

    ``field`` is a dotted path such as ``components[1].scaling.max``. ``line`` counts from 1.
    """

    message: str
    file: str | None = None
    field: str | None = None
    line: int | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        where = self.file or ""
        if self.line is not None:
            where = f"{where}:{self.line}"
        parts = [part for part in (where, self.field) if part]
        text = ": ".join([*parts, self.message])
        return f"{text} (remedy: {self.remedy})" if self.remedy else text


class InputError(EcsDynamoError):
    """The graph file, a task definition or a setting is invalid. Nothing was changed."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, problems: Sequence[Problem] | Problem) -> None:
        self.problems: tuple[Problem, ...] = (
            (problems,) if isinstance(problems, Problem) else tuple(problems)
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))


class AwsError(EcsDynamoError):
    """AWS could not be reached or refused a request, and retries did not help."""

    def __init__(
        self, operation: str, code: str, message: str, item: Mapping[str, Any] | None = None
    ) -> None:
        self.operation = operation
        self.code = code
        self.item: Mapping[str, Any] = item or {}
        """The item that DynamoDB had when a condition failed."""
        super().__init__(f"{operation}: {code}: {message}")
