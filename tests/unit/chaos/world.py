"""One graph, its simulated account, the daemon that reconciles it, and the events of a run.

Each method of `World` whose name is in `steps.PARAMETERS` is an event. All of its arguments are
plain values, so that a run can be written down, kept and repeated.
"""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import asdict
from typing import Any

from ecs_dynamo.aws.observe.pass_queries import Expansion
from ecs_dynamo.config import Settings
from ecs_dynamo.controller.reconcile.reconciler import (
    Pass,
    Reconciler,
)
from ecs_dynamo.model.ecs.events import Notice
from ecs_dynamo.model.graph import Graph
from tests.helpers.graphs import image_of, with_image, with_label
from tests.helpers.simulated_services import SimTask
from tests.unit.chaos import convergence
from tests.unit.chaos.generations import replicas_of, tasks_of
from tests.unit.chaos.invariants import Watch, check_pass
from tests.unit.chaos.setup import SCALING, Setup, with_component
from tests.unit.chaos.simulation import wire
from tests.unit.chaos.simulation.account import EPOCH, SimulatedAccount
from tests.unit.chaos.simulation.api import SimulatedApi
from tests.unit.chaos.simulation.faults import Fault, Kind, ProcessDeathError, refusal
from tests.unit.chaos.simulation.observer import Network, SimulatedObserver
from tests.unit.chaos.simulation.virtual_time import VirtualLoop

STEP_SECONDS = 10.0
NOTICE_SECONDS = 120.0
PLAIN_PASSES = 40
SERVICE_READS = frozenset({"DescribeServices", "ListServices"})
"""Operations that show which services exist."""


class ViolationError(AssertionError):
    """An invariant does not hold. The message contains the run as JSON."""


class World:
    """A run. ``only_edits``: since the last `settle`, nothing but edits has happened."""

    def __init__(self, setup: Setup | None = None) -> None:
        self.setup = setup or Setup()
        self.loop = VirtualLoop()
        self.skew = 0.0
        gpus = self.setup.gpus_per_instance
        instances = math.ceil(self.setup.gpus / gpus)
        self.ecs = SimulatedAccount(self.setup.graph(), instances, gpus)
        self.api = SimulatedApi(self.ecs, self.server_time)
        self.watch = Watch(self.ecs, lambda: self.ecs.graph)
        self.api.before_write = self.watch.before_write
        self.network = Network()
        self.history: list[tuple[str, dict[str, Any]]] = []
        self.interruptions: dict[int, float] = {}
        self.only_edits = False
        self.bad: set[str] = set()
        self.edits = 0
        self.declarations: list[Graph] = []
        """Earlier declarations, the newest last."""
        self.raised_at = -math.inf
        if self.setup.plain:
            self._start_plain()
        self.restart()
        self.standby = self.new_process()

    def server_time(self) -> float:
        return EPOCH + self.loop.time()

    def _start_plain(self) -> None:
        """Let a daemon that knows no generations start the graph, as far as there is capacity."""
        self.daemon = self.new_process(Expansion())
        for _ in range(PLAIN_PASSES):
            self.api.begin()
            outcome = self.run_pass()
            self.tick()
            if outcome is not None and outcome.converged:
                return

    def new_process(self, expansion: Expansion | None = None) -> Reconciler:
        """Return a process that has just started, with empty caches."""
        aws = self.api.open(self.loop.time, lambda: self.server_time() + self.skew)
        process = Reconciler(self.ecs.graph, aws, Settings())
        process._observer = SimulatedObserver(
            aws,
            process._executor._cache,
            process.credentials,
            ecs=self.ecs,
            network=self.network,
            scaled="prefill" if self.setup.scaled else None,
            expansion=expansion,
        )
        return process

    def restart(self) -> None:
        """Replace the daemon with a new process."""
        self.daemon = self.new_process()
        self.watch.new_process()

    def close(self) -> None:
        self.loop.close()

    # Running ------------------------------------------------------------------------------------

    def do(self, step: str, **arguments: Any) -> None:
        """Let an event happen, then check all invariants."""
        self.history.append((step, arguments))
        try:
            getattr(self, step)(**arguments)
            self.watch.observe()
            self.watch.check()
        except AssertionError as error:
            run = json.dumps({"setup": asdict(self.setup), "steps": self.history})
            raise ViolationError(f"{error}\nto keep it: {run}") from error

    def _edit(self, declared: Graph) -> None:
        self.declarations.append(self.ecs.graph)
        self.ecs.graph = self.daemon.graph = self.standby.graph = declared

    def tick(self, seconds: float = STEP_SECONDS) -> None:
        """Advance time in ECS and Dynamo; announced spot interruptions happen."""
        self.loop.advance(seconds)
        self.ecs.step(self.server_time() - self.ecs.now)
        for number, at in list(self.interruptions.items()):
            if self.ecs.now >= at:
                del self.interruptions[number]
                self.ecs.lose_instance(number)
        self.watch.observe()
        if self.only_edits:
            assert self.ecs.served(), "nobody serves, and nothing but edits has happened"

    def run_pass(self) -> Pass | None:
        """Run one pass, with the time that it takes. Return None if the process died."""
        began = self.loop.time()
        outcome: Pass | None = None
        work = self.loop.create_task(
            self.daemon.run_pass(
                seconds_left=lambda: 1e9 if self.watch.writes_allowed else 0.0,
                should_stop=lambda: not self.watch.writes_allowed,
            )
        )
        before = replicas_of(self.ecs, "prefill")
        try:
            outcome = self.loop.run_until_complete(work)
        except ProcessDeathError:
            self._cancel_tasks()
            self.restart()
        finally:
            self.api.forget_events()
        self.network.end_pass()
        for _ in range(int((self.loop.time() - began) // STEP_SECONDS)):
            self.tick(0.0)
        if outcome is not None:
            check_pass(outcome, self.ecs.graph)
            self.watch.passed(services_shown=not self.api.spoiled & SERVICE_READS)
            self._check_scaling(before, began)
        self.watch.check()
        return outcome

    def _cancel_tasks(self) -> None:
        """Cancel the tasks of the dead process."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))

    def _check_scaling(self, was: int, began: float) -> None:
        """Check that scaling needs a fresh signal and respects its steps and its window."""
        now = replicas_of(self.ecs, "prefill")
        if not self.setup.scaled or was == 0:
            return
        text = f"scaled {was} -> {now} (invariant 5)"
        assert -SCALING.step_down(was) <= now - was <= SCALING.step_up(was), text
        at, spec = self.loop.time(), SCALING
        if now != was:
            age = began - self.network.measured_at
            assert age <= spec.max_signal_age_seconds, f"{text} on a signal of {age} s"
        if now > was:
            self.raised_at = at
        if now < was:
            window = spec.scale_down_stabilization_seconds
            assert at - self.raised_at >= window, f"{text} {at - self.raised_at} s after it rose"

    # Events of the daemon -----------------------------------------------------------------------

    def _one_pass(self) -> None:
        self.run_pass()
        self.tick()

    def run(self, passes: int) -> None:
        """Run passes, some seconds apart."""
        for _ in range(passes):
            self.api.begin()
            self._one_pass()

    def die(self, *, call: int, after: bool) -> None:
        """End the process in a pass, before or after a call takes effect; another one starts."""
        self.api.begin()
        (self.api.after_call if after else self.api.before_call)[call] = self.api.die
        self._one_pass()

    def die_at_write(self, *, write: int, after: bool) -> None:
        """End the process before or after a writing call takes effect; another one starts."""
        self.api.begin()
        (self.api.after_write if after else self.api.at_write)[write] = self.api.die
        self._one_pass()

    def lose_lease(self, *, write: int, during: bool = False) -> None:
        """Let another daemon become the leader after a write of a pass, and act immediately.

        With ``during``, the lease is lost while the write is throttled and retried.
        """
        self.api.begin()

        def lose() -> None:
            self.watch.writes_allowed = False
            if during:
                del self.api.at_write[write]
                raise refusal("write", "ThrottlingException", "Rate exceeded")

        (self.api.at_write if during else self.api.after_write)[write] = lose
        self.run_pass()
        self.watch.writes_allowed = True
        self.daemon, self.standby = self.standby, self.daemon
        self.daemon.reset_memory()
        self.watch.new_process()
        self.api.begin()
        self._one_pass()

    def race(self, call: int, kill: str) -> None:
        """Let ECS act in the middle of a pass, and possibly lose a task."""
        self.api.begin()

        def happen() -> None:
            if kill:
                self.only_edits = False
                self.ecs.kill(kill)
            self.ecs.step(0.0)

        self.api.before_call[call] = happen
        self._one_pass()

    def absent(self, steps: int) -> None:
        """Let time pass without a daemon; then a new process starts."""
        for _ in range(steps):
            self.tick()
        self.restart()

    def jump(self, seconds: float) -> None:
        """Change the wall clock of the daemon's machine."""
        self.skew += seconds

    # Events of AWS and the network --------------------------------------------------------------

    def fault(self, kind: str, prefix: str, times: int) -> None:
        """Inject a fault into the next calls of some operations."""
        self.only_edits = False
        self.api.faults.append(Fault(Kind(kind), prefix, times))

    def lose_sight(self, what: str, passes: int) -> None:
        """Let the daemon's requests of one kind fail for some passes."""
        self.network.failing[what] = passes

    def silence(self, component: str, index: int) -> None:
        """Cut off one worker's page from the daemon, or connect it again."""
        if (task := self._task(component, index)) is not None:
            self.network.silent ^= {task.arn}

    def hang(self, component: str, index: int) -> None:
        """Freeze the process of a worker permanently."""
        if (task := self._task(component, index)) is not None:
            self.only_edits = False
            self.ecs.hung.setdefault(task.arn, self.ecs.now)

    def forget(self, component: str, index: int) -> None:
        """Remove the registration of a worker that still answers."""
        if (task := self._task(component, index)) is not None:
            self.only_edits = False
            self.ecs.forgotten.setdefault(task.arn, self.ecs.now)

    def _task(self, component: str, index: int) -> SimTask | None:
        tasks = [t for _, t in tasks_of(self.ecs, component)]
        return tasks[index % len(tasks)] if tasks else None

    def kill(self, component: str, index: int) -> None:
        """Kill a task."""
        self.only_edits = False
        self.ecs.kill(component, index)

    def lose_instance(self, number: int) -> None:
        """Remove an instance with its tasks."""
        self.only_edits = False
        self.ecs.lose_instance(number % self.ecs.gpu_instances)

    def drain_instance(self, number: int) -> None:
        """Drain an instance, as an operator does."""
        self.only_edits = False
        self.ecs.drained.add(number % self.ecs.gpu_instances)

    def shortage(self) -> None:
        """Remove all instances without a task, so that no further task can start."""
        self.only_edits = False
        used = {t.instance for s in self.ecs.services.values() for t in s.tasks}
        self.ecs.lost |= set(range(self.ecs.gpu_instances)) - used

    def add_instances(self, count: int) -> None:
        """Add instances to the cluster."""
        self.ecs.gpu_instances += count

    def spot(self, *, number: int, interruption: bool) -> None:
        """Announce a spot interruption of an instance, or only the risk of one."""
        self.only_edits = False
        number %= self.ecs.gpu_instances
        if number in self.ecs.lost:
            return
        notice = Notice(self.ecs.now, interruption=interruption)
        self.daemon.add_notices({wire.ec2_id(f"arn:ci/{number}"): notice})
        if interruption:
            self.interruptions.setdefault(number, self.ecs.now + NOTICE_SECONDS)

    def work(self, component: str, index: int) -> None:
        """Make a worker busy, or idle again."""
        if (task := self._task(component, index)) is not None:
            self.ecs.busy ^= {task.arn}
            self.ecs.served_by |= {task.arn}

    def demand(self, value: float) -> None:
        self.network.demand = value

    def slow(self, steps: int) -> None:
        """Delay the registration of workers that start from now on."""
        self.ecs.slow = steps

    def stranger(self, component: str) -> None:
        """Register a revision in a family of the graph, as somebody else."""
        revisions = [r for r in self.ecs.revisions.values() if r.family == f"g-{component}"]
        if revisions:
            newest = max(revisions, key=lambda r: r.number)
            self.ecs.register(newest.content, {"owner": "them"})

    # Events of the user -------------------------------------------------------------------------

    def edit_image(self, component: str, how: str) -> None:
        """Declare an image that works (``good``), never registers (``mute``) or exits (``bad``)."""
        if how != "good":
            self.bad.add(component)
        self.edits += 1
        image = f"image:{self.edits}-{how}"
        if how == "mute":
            self.ecs.mute_images.add(image)
        if how == "bad":
            self.ecs.crashes[image] = ("EssentialContainerExited", "exited")
        if how == "good":
            self.bad.discard(component)
        if component == "etcd-nats" and how != "good":
            self.only_edits = False
        self._edit(with_image(self.ecs.graph, component, image))

    def edit_in_place(self, component: str) -> None:
        """Declare another label of the container, which leaves a worker's generation alone."""
        self.edits += 1
        self._edit(with_label(self.ecs.graph, component, str(self.edits)))

    def revert(self, steps: int) -> None:
        """Declare again what was declared some edits ago."""
        if len(self.declarations) >= steps:
            self._edit(self.declarations[-steps])
            images = [f"{c.name} {image_of(c)}" for c in self.ecs.graph.components]
            self.bad = {i.split()[0] for i in images if i.endswith(("-mute", "-bad"))}
            self.only_edits = self.only_edits and "etcd-nats" not in self.bad

    def edit_count(self, component: str, replicas: int) -> None:
        if not (self.setup.scaled and component == "prefill"):
            self._edit(with_component(self.ecs.graph, component, replicas=replicas))

    # The end ------------------------------------------------------------------------------------

    def settle(self) -> None:
        """End all faults and check that the graph becomes as declared, and stays so."""
        convergence.settle(self)
