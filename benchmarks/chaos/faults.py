"""The table of faults: what each one is, whether Dynamo can survive it, and how it is injected.

A fault that Dynamo can survive must not cost any request. For the others ``why`` says what is lost
with the failed process, and therefore why the gap cannot be smaller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from benchmarks.chaos import levers
from benchmarks.chaos.graph import LEASE_SECONDS
from benchmarks.chaos.stage import Stage

Inject = Callable[[Stage, Random], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``deadline``: seconds from its start until the graph has to be as declared.

    ``why``: for a fault that costs requests, what they are lost with. ``floors``: components that
    may have fewer ready replicas than declared while it is repaired, and how many they keep.
    ``lease_seconds``: of the stage that it needs.
    """

    name: str
    what: str
    inject: Inject
    why: str = ""
    deadline: float = 90.0
    revisions: int = 2
    floors: Mapping[str, int] = field(default_factory=dict)
    lease_seconds: int = LEASE_SECONDS

    @property
    def survivable(self) -> bool:
        """Whether Dynamo can live through it without a failed request."""
        return not self.why


DYNAMO_LEASE = 30
"""Dynamo's default: a process that has lost its etcd keeps serving for about 27 s."""
READS = ("ListTasks", "DescribeTasks", "DescribeServices")
WRONG = {
    "empty": "lists nothing",
    "partial": "lists half of the items",
    "missing": "reports that the items do not exist",
    "stale": "repeats its first answer",
    "bare": "answers with an empty object",
    "truncated": "truncates its answer",
}
WRITES = ("CreateService", "UpdateService", "RegisterTaskDefinition")
OUTAGES = {
    "throttle": "refuses every call (ThrottlingException)",
    "error": "fails every call (HTTP 500)",
    "delay": "answers no call",
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


def _many() -> list[Fault]:
    made = [
        Fault("none", "a rollout without a fault, for comparison", levers.plain_rollout),
        Fault(
            "daemon killed", "SIGKILL during a rollout; a new daemon starts 3 s later", levers.kill
        ),
        Fault(
            "daemon stopped", "SIGTERM during a rollout; a new daemon starts 3 s later", levers.stop
        ),
        Fault(
            "clock jump",
            "during a rollout the daemon's wall clock jumps an hour ahead, and later back",
            levers.clock_jump,
        ),
    ]
    made += [
        Fault(f"API {kind}", f"ECS {words} for 20 s during a rollout", levers.outage(kind))
        for kind, words in OUTAGES.items()
    ]
    made += [
        Fault(
            f"{operation} {kind}",
            f"{operation} {words} for 8 s during a rollout",
            levers.wrong_answers(operation, kind),
        )
        for kind, words in WRONG.items()
        for operation in READS
    ]
    made += [
        Fault(
            f"{operation} unheard",
            f"{operation} takes effect twice, but its response is lost",
            levers.unheard(operation),
        )
        for operation in WRITES
    ]
    made += [
        Fault("decode killed", "SIGKILL to a decode worker", levers.kill_one("decode")),
        Fault("prefill killed", "SIGKILL to a prefill worker", levers.kill_one("prefill")),
        Fault("frontend killed", "SIGKILL to a frontend", levers.kill_one("frontend"), STREAMS_END),
        Fault("decode hung", "SIGSTOP to a decode worker", levers.hang("decode"), HUNG),
        Fault("prefill hung", "SIGSTOP to a prefill worker", levers.hang("prefill"), HUNG),
        Fault(
            "etcd replaced",
            "etcd dies and returns, empty, at another IP",
            levers.kill_one("etcd"),
            deadline=120.0,
            lease_seconds=DYNAMO_LEASE,
        ),
        Fault("NATS replaced", "NATS dies and returns at another IP", levers.kill_one("nats")),
        Fault(
            "etcd and NATS replaced",
            "both die at once",
            levers.kill_servers,
            deadline=120.0,
            lease_seconds=DYNAMO_LEASE,
        ),
        Fault(
            "bad revision: exits",
            "a new revision of a worker exits with code 2; then the good one is declared again",
            levers.bad_revision("exit 2"),
            deadline=150.0,
        ),
        Fault(
            "bad revision: mute",
            "a new revision of a worker runs and never registers; then the good one is declared "
            "again",
            levers.bad_revision("exec sleep 600"),
            deadline=150.0,
        ),
        Fault(
            "slow revision",
            "a new revision of a worker takes 8 s longer to load",
            levers.slow_revision,
        ),
        Fault(
            "GPU shortage",
            "during a rollout EC2 reclaims every instance without a serving replica; the daemon "
            "waits 120 s for capacity, then replaces one replica at a time",
            levers.gpu_shortage,
            deadline=240.0,
            floors={"decode": 1, "prefill": 1},
        ),
        Fault(
            "instance lost",
            "EC2 terminates an instance with a worker: its processes die",
            levers.lose_instance,
        ),
        Fault(
            "instance unknown",
            "during a rollout EC2 no longer knows an instance whose agent is disconnected; then "
            "the instance is gone",
            levers.forget_instance,
        ),
        Fault("instance drained", "an instance with a worker is set to DRAINING", levers.drain),
        Fault(
            "spot interruption",
            "EC2 announces an interruption and terminates the instance once its tasks have left",
            levers.spot_notice,
            deadline=150.0,
        ),
        Fault(
            "scale-out and in",
            "16 more clients with long prompts until prefill has grown, then none",
            levers.scale,
            deadline=150.0,
        ),
    ]
    return made


FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in _many()}
"""Every fault by its name."""
