"""Jobs on all cores of the machine, with progress and times."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from benchmarks.scaling.rows import measure
from benchmarks.scaling.store import Job, Measured, Store

JOBS_PER_GROUP = 24
"""Jobs of a case that run in one process in turn; a case's trace is generated once for them."""
WRITE_SECONDS = 15.0
Group = Sequence[Job]
Outcome = Sequence[tuple[Job, Measured]]


def run_group(group: Group) -> Outcome:
    """Run jobs in turn."""
    return [(job, measure(job)) for job in group]


def grouped(jobs: Iterable[Job]) -> list[Group]:
    """Return the jobs of each case in groups of limited size."""
    groups: list[Group] = []
    for _, same in groupby(jobs, key=lambda job: job.case):
        members = list(same)
        groups += [members[i : i + JOBS_PER_GROUP] for i in range(0, len(members), JOBS_PER_GROUP)]
    return groups


def complete(
    store: Store, jobs: Iterable[Job], *, workers: int | None = None, say: Callable[[str], None]
) -> None:
    """Run the jobs whose results are not stored yet."""
    missing = [job for job in dict.fromkeys(jobs) if job not in store]
    groups = grouped(missing)
    if not groups:
        return
    started = written = time.monotonic()
    done = 0
    with multiprocessing.Pool(workers or os.cpu_count()) as pool:
        for outcome in pool.imap_unordered(run_group, groups):
            for job, measured in outcome:
                store.add(job, measured)
            done += len(outcome)
            now = time.monotonic()
            case = outcome[0][0].case
            left = (now - started) / done * (len(missing) - done)
            say(
                f"{done}/{len(missing)} runs, {clock(now - started)}, about {clock(left)} left: "
                f"{case.family} {case.shape} {case.number}, cold start {case.cold_start:g} s, "
                f"{case.option}: {sum(m.seconds for _, m in outcome):.1f} s"
            )
            if now - written > WRITE_SECONDS:
                store.write()
                written = now
    store.write()


def clock(seconds: float) -> str:
    """Return minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
