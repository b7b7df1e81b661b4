"""The table of cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.chaos.faults import DYNAMO_LEASE
from benchmarks.rollouts.case import (
    Case,
    Declare,
    KillDaemon,
    LoseHost,
    Moment,
    MoveEtcd,
    Step,
    Upgrade,
)
from benchmarks.rollouts.graph import Revision

OLD = Revision()
SMALL_BLOCKS = Revision(block_size=32)
SHORT_CONTEXT = Revision(context_length=4096)
SAME_CARD = Revision(mark="2")
THIRD = Revision(block_size=16)
CRASHES = Revision(block_size=32, script="exit 3")
NEVER_REGISTERS = Revision(block_size=32, script="exec sleep 600")
FREEZE_SECONDS = 5
PROGRESS_SECONDS = 30
HANGS = Revision(
    block_size=32,
    script=f"{{worker}} & child=$!; sleep {FREEZE_SECONDS}; kill -STOP $child; wait $child",
)
"""It registers within about two seconds, and its process is stopped (SIGSTOP) after five."""
DECODE_HANGS = replace(HANGS, script_roles=("decode",))


def _declare(revision: Revision, *halfway: Step) -> tuple[tuple[Moment, Step], ...]:
    """Return the steps that declare ``revision`` at the start and do ``halfway`` later."""
    return (
        (Moment.START, Declare(revision)),
        *((Moment.HALFWAY, step) for step in halfway),
    )


_CASES = (
    Case(
        "same card, with room",
        "2p+2d on six hosts; a variable that no process reads",
        _declare(SAME_CARD),
        SAME_CARD,
    ),
    Case(
        "block size, with room",
        "2p+2d on six hosts; another KV block size",
        _declare(SMALL_BLOCKS),
        SMALL_BLOCKS,
    ),
    Case(
        "context length, with room",
        "2p+2d on six hosts; another context length",
        _declare(SHORT_CONTEXT),
        SHORT_CONTEXT,
    ),
    Case(
        "block size, 1p+1d with room",
        "1p+1d on four hosts",
        _declare(SMALL_BLOCKS),
        SMALL_BLOCKS,
        hosts=(1,) * 4,
        replicas=1,
    ),
    Case(
        "block size, without room",
        "2p+2d on four hosts: no GPU for an additional worker",
        _declare(SMALL_BLOCKS),
        SMALL_BLOCKS,
        hosts=(1,) * 4,
        reports_waits=True,
        deadline=300.0,
    ),
    Case(
        "4 workers on one host",
        "2p+2d in host mode on one host with six GPUs",
        _declare(SMALL_BLOCKS),
        SMALL_BLOCKS,
        hosts=(6,),
    ),
    Case(
        "reverted halfway",
        "another block size; the old one is declared again halfway",
        _declare(SMALL_BLOCKS, Declare(OLD)),
        OLD,
    ),
    Case(
        "third revision halfway",
        "another block size, and yet another one halfway",
        _declare(SMALL_BLOCKS, Declare(THIRD)),
        THIRD,
    ),
    Case(
        "new workers crash",
        "the new revision's command exits with code 3",
        _declare(CRASHES),
        OLD,
    ),
    Case(
        "new workers never register",
        f"the new revision runs and never registers; the progress deadline is {PROGRESS_SECONDS} s",
        _declare(NEVER_REGISTERS),
        OLD,
        deadline=240.0,
        progress_seconds=PROGRESS_SECONDS,
    ),
    Case(
        "new workers hang",
        f"the new revision registers, and stops (SIGSTOP) {FREEZE_SECONDS} s after its start; the "
        f"progress deadline is {PROGRESS_SECONDS} s",
        _declare(HANGS),
        OLD,
        deadline=240.0,
        progress_seconds=PROGRESS_SECONDS,
    ),
    Case(
        "new decode workers hang",
        f"the new decode workers register, and stop (SIGSTOP) {FREEZE_SECONDS} s later; the "
        f"progress deadline is {PROGRESS_SECONDS} s",
        _declare(DECODE_HANGS),
        OLD,
        reason=(
            "A hung worker keeps its registration until its lease expires, and frontends send it "
            "requests for that long. Dynamo moves such a request to another worker of the same "
            "generation only, and the new generation has no other decode worker yet."
        ),
        deadline=240.0,
        progress_seconds=PROGRESS_SECONDS,
    ),
    Case(
        "etcd moved halfway, with room",
        "etcd and NATS are killed halfway and come back at another address, without data; on "
        "twelve hosts the old workers stay until the new ones serve; the lease is "
        f"{DYNAMO_LEASE} s",
        _declare(SMALL_BLOCKS, MoveEtcd()),
        SMALL_BLOCKS,
        hosts=(1,) * 12,
        deadline=300.0,
        lease_seconds=DYNAMO_LEASE,
    ),
    Case(
        "etcd moved halfway, without room",
        "the same on six hosts, of which none is free: both generations are replaced at once",
        _declare(SMALL_BLOCKS, MoveEtcd()),
        SMALL_BLOCKS,
        deadline=300.0,
        lease_seconds=DYNAMO_LEASE,
    ),
    Case(
        "host lost halfway",
        "EC2 terminates the host of an old worker halfway; another host joins",
        _declare(SMALL_BLOCKS, LoseHost()),
        SMALL_BLOCKS,
        deadline=240.0,
    ),
    Case(
        "daemon killed halfway",
        "SIGKILL to the daemon halfway; a new one starts 3 s later",
        _declare(SMALL_BLOCKS, KillDaemon()),
        SMALL_BLOCKS,
    ),
    Case(
        "adoption",
        "a graph that a daemon without generations has set up is taken over, then another block "
        "size is declared",
        ((Moment.START, Upgrade()), *_declare(SMALL_BLOCKS)),
        SMALL_BLOCKS,
        deadline=240.0,
    ),
)

CASES: Mapping[str, Case] = {case.name: case for case in _CASES}
"""Every case by its name."""
