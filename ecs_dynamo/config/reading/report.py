"""Collection of problems, so that a user sees all of them at once and not one per run.

Each problem names its file, line and field. Every step of loading therefore continues after an
error with the values that it has.
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
    """Errors and warnings so far, each once, in the order in which they were added."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    _paths: set[tuple[str, FieldPath]] = field(default_factory=set)

    def error(
        self, document: Document, path: FieldPath, message: str, remedy: str | None = None
    ) -> None:
        """Add an error at ``path`` of ``document``."""
        self._paths.add((document.file, path))
        self._add(self.errors, document, path, message, remedy)

    def warn(
        self, document: Document, path: FieldPath, message: str, remedy: str | None = None
    ) -> None:
        """Add a warning: something that works, but not as well as the user may expect."""
        self._add(self.warnings, document, path, message, remedy)

    def has_error_at(self, document: Document, path: FieldPath) -> bool:
        """Return whether there is an error at exactly ``path``."""
        return (document.file, path) in self._paths

    def raise_errors(self) -> None:
        """Raise all errors as one `InputError`. Do nothing if there are none."""
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
