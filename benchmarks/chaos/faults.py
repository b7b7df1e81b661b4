"""The table of faults: what each one is, whether Dynamo can survive it, and how it is injected.

A fault that Dynamo can survive must not cost any request. For the others, ``reason`` explains what
is lost with the failed process, and therefore why the gap cannot be smaller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.chaos import injectors
from benchmarks.chaos.graph import LEASE_SECONDS
from benchmarks.chaos.injectors import Injector
from ecs_dynamo.local.wire.faults import FaultKind


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``deadline``: seconds from its start until the graph must be as declared.

    ``reason`` explains why a fault costs requests; it is empty if Dynamo can survive the fault.
    ``revisions``: how many new revisions a component may get. ``floors``: the ready replicas of
    components that may have fewer than declared during the recovery. ``lease_seconds`` is the lease
    of the stage that the fault needs.
    """

    name: str
    description: str
    inject: Injector
    reason: str = ""
    deadline: float = 90.0
    revisions: int = 2
    floors: Mapping[str, int] = field(default_factory=dict)
    lease_seconds: int = LEASE_SECONDS

    @property
    def survivable(self) -> bool:
        """Whether Dynamo can survive the fault without a failed request."""
        return not self.reason


DYNAMO_LEASE = 30
"""Dynamo's default: a process that has lost its etcd keeps serving for about 27 s."""
READS = ("ListTasks", "DescribeTasks", "DescribeServices")
WRONG_ANSWERS = {
    FaultKind.EMPTY: "lists nothing",
    FaultKind.PARTIAL: "lists half of the items",
    FaultKind.MISSING: "reports that the items do not exist",
    FaultKind.STALE: "repeats its first answer",
    FaultKind.BARE: "answers with an empty object",
    FaultKind.TRUNCATED: "truncates its answer",
}
WRITES = ("CreateService", "UpdateService", "RegisterTaskDefinition")
OUTAGES = {
    FaultKind.THROTTLE: "refuses every call (ThrottlingException)",
    FaultKind.ERROR: "fails every call (HTTP 500)",
    FaultKind.DELAY: "answers no call",
}

STREAMS_END = (
    "A frontend's open connections end with its process, and a client cannot restart an answer "
    "that has begun. Requests without an answer are sent again, and the other frontend serves them."
)
HUNG = (
    "A frozen process keeps its connections, and receives requests until its lease expires. Dynamo "
    "1.6.1 migrates a request when the connection to its worker breaks, which happens only when "
    "ECS kills the process: after SIGTERM and stopTimeout (30 s here). By then the client's 30 s "
    "are over. All other requests are served meanwhile."
)


def _all_faults() -> list[Fault]:
    faults = [
        Fault("none", "a rollout without a fault, for comparison", injectors.plain_rollout),
        Fault(
            "daemon killed",
            "SIGKILL during a rollout; a new daemon starts 3 s later",
            injectors.kill,
        ),
        Fault(
            "daemon stopped",
            "SIGTERM during a rollout; a new daemon starts 3 s later",
            injectors.stop,
        ),
        Fault(
            "clock jump",
            "during a rollout the daemon's wall clock jumps an hour ahead, and later back",
            injectors.clock_jump,
        ),
    ]
    faults += [
        Fault(f"API {kind}", f"ECS {words} for 20 s during a rollout", injectors.outage(kind))
        for kind, words in OUTAGES.items()
    ]
    faults += [
        Fault(
            f"{operation} {kind}",
            f"{operation} {words} for 8 s during a rollout",
            injectors.wrong_answers(operation, kind),
        )
        for kind, words in WRONG_ANSWERS.items()
        for operation in READS
    ]
    faults += [
        Fault(
            f"{operation} unheard",
            f"{operation} takes effect twice, but its response is lost",
            injectors.lose_answers(operation),
        )
        for operation in WRITES
    ]
    faults += [
        Fault("decode killed", "SIGKILL to a decode worker", injectors.kill_replica("decode")),
        Fault("prefill killed", "SIGKILL to a prefill worker", injectors.kill_replica("prefill")),
        Fault(
            "frontend killed",
            "SIGKILL to a frontend",
            injectors.kill_replica("frontend"),
            STREAMS_END,
        ),
        Fault(
            "decode hung", "SIGSTOP to a decode worker", injectors.freeze_replica("decode"), HUNG
        ),
        Fault(
            "prefill hung", "SIGSTOP to a prefill worker", injectors.freeze_replica("prefill"), HUNG
        ),
        Fault(
            "etcd replaced",
            "etcd dies and returns, empty, at another IP",
            injectors.kill_replica("etcd"),
            deadline=120.0,
            lease_seconds=DYNAMO_LEASE,
        ),
        Fault(
            "NATS replaced", "NATS dies and returns at another IP", injectors.kill_replica("nats")
        ),
        Fault(
            "etcd and NATS replaced",
            "both die at once",
            injectors.kill_servers,
            deadline=120.0,
            lease_seconds=DYNAMO_LEASE,
        ),
        Fault(
            "bad revision: exits",
            "a new revision of a worker exits with code 2; then the good one is declared again",
            injectors.bad_revision("exit 2"),
            deadline=150.0,
        ),
        Fault(
            "bad revision: mute",
            "a new revision of a worker runs and never registers; then the good one is declared "
            "again",
            injectors.bad_revision("exec sleep 600"),
            deadline=150.0,
        ),
        Fault(
            "slow revision",
            "a new revision of a worker takes 8 s longer to load",
            injectors.slow_revision,
        ),
        Fault(
            "GPU shortage",
            "during a rollout EC2 reclaims every instance without a serving replica; the daemon "
            "waits 120 s for capacity, then replaces one replica at a time",
            injectors.gpu_shortage,
            deadline=240.0,
            floors={"decode": 1, "prefill": 1},
        ),
        Fault(
            "instance lost",
            "EC2 terminates an instance with a worker: its processes die",
            injectors.lose_instance,
        ),
        Fault(
            "instance unknown",
            "during a rollout EC2 no longer knows an instance whose agent is disconnected; then "
            "the instance is gone",
            injectors.forget_instance,
        ),
        Fault("instance drained", "an instance with a worker is set to DRAINING", injectors.drain),
        Fault(
            "spot interruption",
            "EC2 announces an interruption and terminates the instance once its tasks have left",
            injectors.spot_notice,
            deadline=150.0,
        ),
        Fault(
            "scale-out and in",
            "16 more clients with long prompts until prefill has grown, then none",
            injectors.scale,
            deadline=150.0,
        ),
    ]
    return faults


FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in _all_faults()}
"""Every fault by its name."""
