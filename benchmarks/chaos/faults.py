"""The table of faults: what each is, what may be asked of Dynamo under it, and how it is made.

A fault that Dynamo can survive must cost no request. For the others ``why`` says what is lost with
the process that dies, and so why the gap cannot be smaller.
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
"""Dynamo's own: a process whose etcd is lost serves on for some 27 s."""
READS = ("ListTasks", "DescribeTasks", "DescribeServices")
WRONG = {
    "empty": "lists nothing",
    "partial": "lists half of what there is",
    "missing": "says that what is asked for does not exist",
    "stale": "gives the first answer again and again",
    "bare": "answers with an empty object",
    "truncated": "breaks off in the middle of its answer",
}
WRITES = ("CreateService", "UpdateService", "RegisterTaskDefinition")
OUTAGES = {
    "throttle": "refuses every call (ThrottlingException)",
    "error": "fails every call (HTTP 500)",
    "delay": "answers no call",
}

STREAMS_END = (
    "A frontend's open connections end with its process, and an answer that has begun cannot be "
    "begun again by a client. What has no answer yet is sent again, and the other frontend serves."
)
HUNG = (
    "A frozen process keeps its connections. It is given requests until its lease is over, and "
    "Dynamo 1.6.1 moves a request to another worker when the connection to its own breaks, which "
    "it does when the process is killed: after SIGTERM and stopTimeout (30 s here), as ECS kills "
    "nothing sooner. By then a client's 30 s are over. All other requests are served meanwhile."
)


def _many() -> list[Fault]:
    made = [
        Fault("none", "a rollout without a fault, for comparison", levers.plain_rollout),
        Fault("daemon killed", "SIGKILL amid a rollout; another starts 3 s later", levers.kill),
        Fault("daemon stopped", "SIGTERM amid a rollout; another starts 3 s later", levers.stop),
        Fault(
            "clock jump",
            "the daemon's wall clock jumps an hour ahead amid a rollout, later back",
            levers.clock_jump,
        ),
    ]
    made += [
        Fault(f"API {kind}", f"ECS {words} for 20 s amid a rollout", levers.outage(kind))
        for kind, words in OUTAGES.items()
    ]
    made += [
        Fault(
            f"{operation} {kind}",
            f"{operation} {words} for 8 s amid a rollout",
            levers.wrong_answers(operation, kind),
        )
        for kind, words in WRONG.items()
        for operation in READS
    ]
    made += [
        Fault(
            f"{operation} unheard",
            f"{operation} takes effect twice and nobody hears of it",
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
            "etcd dies and comes back at another IP, empty",
            levers.kill_one("etcd"),
            deadline=120.0,
            lease_seconds=DYNAMO_LEASE,
        ),
        Fault("NATS replaced", "NATS dies and comes back at another IP", levers.kill_one("nats")),
        Fault(
            "etcd and NATS replaced",
            "both die at once",
            levers.kill_servers,
            deadline=120.0,
            lease_seconds=DYNAMO_LEASE,
        ),
        Fault(
            "bad revision: exits",
            "a new revision of a worker exits with code 2; the good one is declared again",
            levers.bad_revision("exit 2"),
            deadline=150.0,
        ),
        Fault(
            "bad revision: mute",
            "a new revision of a worker runs and never registers; the good one is declared again",
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
            "amid a rollout EC2 takes back every instance without a serving replica; for 120 s the "
            "daemon waits for places, then replaces one at a time",
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
            "amid a rollout EC2 forgets an instance and its agent is cut off, then it is gone",
            levers.forget_instance,
        ),
        Fault("instance drained", "an instance with a worker is put into DRAINING", levers.drain),
        Fault(
            "spot interruption",
            "EC2 warns of an interruption, and takes the instance once its tasks are gone",
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
