"""Which Regions there are, as far as botocore knows: a typing error is noticed, not refused.

A Region can be newer than the installed botocore, whose endpoint rules then still build the right
host name from the partition's pattern. So an unknown one is a warning.
"""

from __future__ import annotations

from functools import cache

from ecs_dynamo.common.botocore_data import partitions
from ecs_dynamo.config.reading.document import Document
from ecs_dynamo.config.reading.report import Report


@cache
def known_regions() -> frozenset[str]:
    """Every Region of every partition (botocore's own list)."""
    return frozenset(
        region
        for partition in partitions()
        for region in partition["regions"]
        if not region.endswith("-global")
    )


def closest_region(text: str) -> str | None:
    """The known Region that takes the fewest typing errors to become ``text``; None beyond 3."""
    errors, name = min((_typing_errors(text[:60], known), known) for known in known_regions())
    return name if errors <= 3 else None


def _typing_errors(found: str, meant: str) -> int:
    """Letters left out, added, changed, or typed in the wrong order (optimal string alignment)."""
    rows = [list(range(len(meant) + 1))]
    for i, a in enumerate(found, 1):
        row = [i]
        for j, b in enumerate(meant, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == meant[j - 2] and found[i - 2] == b:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def check_region(region: str | None, document: Document, report: Report) -> None:
    """Warn of a Region that botocore does not know, with the closest one that it does."""
    if region is None or region in known_regions():
        return
    near = closest_region(region)
    declared = isinstance(document.value, dict) and document.value.get("region") is not None
    place = "" if declared else ", taken from AWS_REGION or a variable like it"
    report.warn(
        document,
        ("region",) if declared else (),
        f"botocore knows no Region {region[:60]!r}{place}",
        (f"did you mean {near}? " if near else "")
        + "A Region newer than the installed botocore works all the same",
    )
