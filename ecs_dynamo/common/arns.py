"""Amazon Resource Names: ``arn:partition:service:region:account:resource`` (AWS General Reference).

Region and account are empty for some services. The resource may contain colons.
"""

from __future__ import annotations

from dataclasses import dataclass

_PREFIX = "arn:"


@dataclass(frozen=True, slots=True)
class Arn:
    """The parts of an ARN; `str` joins them."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    def __str__(self) -> str:
        parts = (self.partition, self.service, self.region, self.account, self.resource)
        return _PREFIX + ":".join(parts)


def is_arn(text: str) -> bool:
    """Whether ``text`` is an ARN, and not a short name."""
    return text.startswith(_PREFIX)


def parse_arn(text: str) -> Arn | None:
    """Return the parts of an ARN; None if ``text`` has another form."""
    parts = text.split(":", 5)
    return Arn(*parts[1:]) if len(parts) == 6 and is_arn(text) else None


def resource_name(arn: str) -> str:
    """Return what follows the last slash of an ARN; a short name is returned unchanged.

    It identifies a resource in both notations: ``service/cluster/name`` and ``name``.
    """
    return arn.rpartition("/")[2]


def revision_number(arn: str) -> int:
    """Return the number of a task definition revision; 0 if the ARN has none."""
    text = arn.rpartition(":")[2]
    return int(text) if text.isdecimal() else 0


def sibling_revision(arn: str, number: int) -> str | None:
    """Return the ARN of another revision of the same family; None if ``arn`` has no number."""
    stem = arn.rpartition(":")[0]
    return f"{stem}:{number}" if stem else None
