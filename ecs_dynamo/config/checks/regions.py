"""Warning about Regions that botocore does not know, which may be misspelt.

A Region can be newer than the installed botocore, whose endpoint rules then still build the right
host name from the partition's pattern. So an unknown Region is not an error.
"""

from __future__ import annotations

from functools import cache

from ecs_dynamo.common.botocore_data import partitions
from ecs_dynamo.config.reading.document import Document
from ecs_dynamo.config.reading.report import Report


@cache
def known_regions() -> frozenset[str]:
    """Return every Region of every partition, from botocore's own list."""
    return frozenset(
        region
        for partition in partitions()
        for region in partition["regions"]
        if not region.endswith("-global")
    )


def closest_region(text: str) -> str | None:
    """Return the known Region with the fewest typing errors from ``text``; None beyond 3."""
    errors, name = min((_typing_errors(text[:60], known), known) for known in known_regions())
    return name if errors <= 3 else None


def _typing_errors(typed: str, meant: str) -> int:
    """Return the number of typing errors: letters left out, added, changed or swapped.

    It is the optimal string alignment distance.
    """
    rows = [list(range(len(meant) + 1))]
    for i, a in enumerate(typed, 1):
        row = [i]
        for j, b in enumerate(meant, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == meant[j - 2] and typed[i - 2] == b:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def check_region(region: str | None, document: Document, report: Report) -> None:
    """Warn of a Region that botocore does not know, and name the closest one that it knows."""
    if region is None or region in known_regions():
        return
    near = closest_region(region)
    declared = isinstance(document.value, dict) and document.value.get("region") is not None
    source = "" if declared else ", taken from the environment"
    report.warn(
        document,
        ("region",) if declared else (),
        f"botocore does not know the Region {region[:60]!r}{source}",
        (f"did you mean {near}? " if near else "")
        + "A Region newer than the installed botocore works too",
    )
