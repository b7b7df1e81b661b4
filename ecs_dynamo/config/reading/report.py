"""Collecting problems: a user sees everything that is wrong at once, not one thing a run.

The price is that every step must go on after an error with what it has; in return each problem
names its file, line and field.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
    dotted,
)
from ecs_dynamo.model.errors import InputError, Problem


@dataclass(slots=True)
class Report:
    """Errors and warnings found so far, in the order they were found, each once."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    _paths: set[tuple[str, FieldPath]] = field(default_factory=set)

    def error(
        self, document: Document, path: FieldPath, message: str, remedy: str | None = None
    ) -> None:
        """Note an error at ``path`` of ``document``."""
        self._paths.add((document.file, path))
        self._add(self.errors, document, path, message, remedy)

    def warn(
        self, document: Document, path: FieldPath, message: str, remedy: str | None = None
    ) -> None:
        """Note something that works, but not as well as the user may expect."""
        self._add(self.warnings, document, path, message, remedy)

    def has_error_at(self, document: Document, path: FieldPath) -> bool:
        """Whether an error was noted at exactly ``path``."""
        return (document.file, path) in self._paths

    def raise_errors(self) -> None:
        """Raise all errors as one `InputError`; do nothing where there are none."""
        if self.errors:
            raise InputError(self.errors)

    @staticmethod
    def _add(
        to: list[Problem], document: Document, path: FieldPath, message: str, remedy: str | None
    ) -> None:
        problem = Problem(
            message=message,
            file=document.file,
            field=dotted(document.as_written(path)) or None,
            line=document.line_of(path),
            remedy=remedy,
        )
        if problem not in to:
            to.append(problem)
