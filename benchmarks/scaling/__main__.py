"""The benchmark of scaling policies over traces: `python -m benchmarks.scaling`.

It writes docs/benchmarks/scaling.json, and the page and pictures that follow from it. A quick run
writes all of them to build/ instead. Two public traces are read from the folder ECS_DYNAMO_TRACES
(azure-2023-conv.csv.gz and mooncake-conversation.csv.gz, whose sources the page names), and are
left out if it is not set. The other traces are generated. A repeated run continues from the stored
results; those of changed code are measured again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.scaling.document import NoResultsError, write_document
from benchmarks.scaling.plan import FULL, QUICK, jobs, tuning_jobs
from benchmarks.scaling.pool import clock, complete
from benchmarks.scaling.rows import ALONE, OWN, REFERENCES
from benchmarks.scaling.store import PARTS, ROOT, Store, kind_of
from benchmarks.scaling.tuning import STAGES, tuned_settings
from ecs_dynamo.simulate.peers.registry import PEERS

RESULTS = ROOT / "docs" / "benchmarks" / "scaling.json"
QUICK_RESULTS = ROOT / "build" / "scaling-quick.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, and write the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("shapes", nargs="*", help="only these shapes")
    parser.add_argument("--quick", action="store_true", help="few seeds and shapes")
    parser.add_argument("--document", action="store_true", help="write the document only")
    parser.add_argument("--part", choices=PARTS, help="only these rows (default: all)")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    parser.add_argument("--store", type=Path, help="file of the results")
    options = parser.parse_args(arguments)
    path: Path = options.store or (QUICK_RESULTS if options.quick else RESULTS)
    if options.quick and path.resolve() == RESULTS.resolve():
        parser.error(f"--quick does not change {RESULTS}; choose another --store")
    store = Store(path)
    if options.document and store.is_foreign:
        parser.error(f"{path} has another format; repeat the benchmark without --document")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not options.document:
        measure(
            store,
            options.shapes,
            part=options.part,
            quick=options.quick,
            workers=options.workers,
        )
    try:
        write_document(store, path.with_suffix(".md"))
    except NoResultsError as error:
        if options.document:
            parser.error(str(error))
        say(str(error))


def measure(
    store: Store, shapes: Sequence[str], *, part: str | None, quick: bool, workers: int | None
) -> None:
    """Run all jobs whose results are not stored."""
    started = time.monotonic()
    dropped = store.forget_outdated((*OWN, ALONE, *REFERENCES, *PEERS))
    if store.is_foreign:
        say("the stored results have another format and will be replaced")
    say(f"{len(store)} results are stored, {dropped} of other code were dropped")
    for stages in range(1, STAGES + 1):
        complete(store, tuning_jobs(store, stages, quick=quick), workers=workers, say=say)
    sizes = {k: v for k, v in (QUICK if quick else FULL).items() if not shapes or k in shapes}
    tuned = dict(tuned_settings(store))
    chosen = [job for job in jobs(sizes, tuned) if part in (None, kind_of(job.policy))]
    complete(store, chosen, workers=workers, say=say)
    say(f"finished after {clock(time.monotonic() - started)}")


def say(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
