"""A graph, its simulated account, the daemon that reconciles it, and their possible events.

Each method of `World` whose name is in `STEPS` is a step. All of its arguments are plain values, so
that a story can be written to a file, kept, and repeated.
"""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from typing import Any

from ecs_dynamo.config import Settings
from ecs_dynamo.controller.reconcile.reconciler import (
    Pass,
    Reconciler,
)
from ecs_dynamo.model.ecs.events import Notice
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.service import good_arn
from ecs_dynamo.model.spec.rollout import CanarySpec
from ecs_dynamo.model.spec.scaling import SloScaling
from tests.unit.chaos import wire
from tests.unit.chaos.faults import Fault, Kind, ProcessDeathError, refusal
from tests.unit.chaos.invariants import Watch, check_pass
from tests.unit.chaos.simulated_account import EPOCH, SimulatedAccount
from tests.unit.chaos.simulated_api import SimulatedApi
from tests.unit.chaos.simulated_observer import Network, SimulatedObserver
from tests.unit.chaos.virtual_time import VirtualLoop
from tests.unit.planning.graphs import graph, with_image
from tests.unit.planning.simulated_ecs import SimTask

STEP_SECONDS = 10.0
SETTLE_PASSES = 150
COMPONENTS = ("etcd-nats", "frontend", "prefill", "decode")
WORKERS = ("prefill", "decode")
SCALING = SloScaling(
    min=1, max=3, target=4, scale_down_stabilization_seconds=120, max_signal_age_seconds=30
)
NOTICE_SECONDS = 120.0
SHARED_GPUS = 3
"""GPUs of an instance that workers share."""
SICK_PASSES = 450
"""Like SETTLE_PASSES, while a worker hangs or is lost: a new process knows it only after twice its
progress deadline, and the pauses between replacements grow."""
SETTLED_INSTANCES = 8
"""Instances for the frontends of two sides, one per instance."""


class ViolationError(AssertionError):
    """A violated invariant, with the story that led to it."""


class World:
    """``prefill``, ``decode``, ``frontends``: replicas. ``gpus``: one-GPU instances. ``scaled``:
    prefill follows its signal. ``least``: decode's minimum healthy percent. ``shared``: workers
    are in host mode, several on each instance, and choose their ports."""

    def __init__(
        self,
        *,
        prefill: int = 1,
        decode: int = 2,
        frontends: int = 1,
        gpus: int = 8,
        scaled: bool = False,
        canary: bool = False,
        least: int = 100,
        shared: bool = False,
    ) -> None:
        self.setup = {
            "prefill": prefill,
            "decode": decode,
            "frontends": frontends,
            "gpus": gpus,
            "scaled": scaled,
            "canary": canary,
            "least": least,
            "shared": shared,
        }
        made = graph(
            prefill=prefill,
            decode=decode,
            frontends=frontends,
            scaling=SCALING if scaled else None,
        )
        spec: dict[str, Any] = {"minimum_healthy_percent": least, "progress_deadline_seconds": 900}
        if canary:
            spec["canary"] = CanarySpec(bake_seconds=60)
        for name in WORKERS if shared else ():
            template = {**made.component(name).template, "networkMode": "host"}
            (container,) = template["containerDefinitions"]
            chosen = [*container["environment"], {"name": "DYN_SYSTEM_PORT", "value": "0"}]
            template["containerDefinitions"] = [{**container, "environment": chosen}]
            made = self._with(made, name, template=template)
        self.graph = self._with(made, "decode", rollout=spec)
        self.scaled = scaled
        self.loop = VirtualLoop()
        self.skew = 0.0
        each = SHARED_GPUS if shared else 1
        self.ecs = SimulatedAccount(self.graph, math.ceil(gpus / each), each)
        self.api = SimulatedApi(self.ecs, self.server_time)
        self.watch = Watch(self.ecs, lambda: self.ecs.graph)
        self.api.before_write = self.watch.before_write
        self.network = Network()
        self.history: list[tuple[str, dict[str, Any]]] = []
        self.ends: dict[int, float] = {}
        self.calm = False
        self.bad: set[str] = set()
        self.edits = 0
        self.raised_at = -math.inf
        self._started()
        self.standby = self._process()

    @staticmethod
    def _with(
        base: Graph, name: str, *, rollout: dict[str, Any] | None = None, **more: Any
    ) -> Graph:
        def changed(one: Any) -> Any:
            spec = one.rollout.model_copy(update=rollout) if rollout else one.rollout
            return replace(one, rollout=spec, **more)

        return replace(
            base,
            components=tuple(changed(c) if c.name == name else c for c in base.components),
        )

    def server_time(self) -> float:
        return EPOCH + self.loop.time()

    def _process(self) -> Reconciler:
        """Start a process with empty caches."""
        aws = self.api.open(self.loop.time, lambda: self.server_time() + self.skew)
        made = Reconciler(self.ecs.graph, aws, Settings())
        made._observer = SimulatedObserver(
            aws,
            made._executor._cache,
            made.credentials,
            ecs=self.ecs,
            network=self.network,
            scaled="prefill" if self.scaled else None,
        )
        return made

    def _started(self) -> None:
        self.daemon = self._process()
        self.watch.seen_services = {}
        self.watch.stopped_at = {}

    def close(self) -> None:
        self.loop.close()

    # Doing --------------------------------------------------------------------------------------

    def do(self, step: str, **arguments: Any) -> None:
        """Run a step, then check all invariants."""
        self.history.append((step, arguments))
        try:
            getattr(self, step)(**arguments)
            self.watch.observe()
            self.watch.check()
        except AssertionError as error:
            told = json.dumps({"setup": self.setup, "steps": self.history})
            raise ViolationError(f"{error}\nto keep it: {told}") from error

    def _edit(self, made: Graph) -> None:
        self.ecs.graph = self.daemon.graph = self.standby.graph = made

    def _tick(self, seconds: float = STEP_SECONDS) -> None:
        """Advance ECS and Dynamo; execute a spot interruption that is due."""
        self.loop.advance(seconds)
        self.ecs.step(self.server_time() - self.ecs.now)
        for number, at in list(self.ends.items()):
            if self.ecs.now >= at:
                del self.ends[number]
                self.ecs.lose_instance(number)
        self.watch.observe()
        if self.calm:
            assert self.ecs.served(), "nobody serves, and nothing but edits has happened"

    def _pass(self) -> Pass | None:
        """Run a pass and let its time elapse; return None if the process died."""
        began = self.loop.time()
        done: Pass | None = None
        work = self.loop.create_task(
            self.daemon.run_pass(
                seconds_left=lambda: 1e9 if self.watch.writes_allowed else 0.0,
                should_stop=lambda: not self.watch.writes_allowed,
            )
        )
        before = {s.name: s.desired for s in self.ecs.services.values()}
        try:
            done = self.loop.run_until_complete(work)
        except ProcessDeathError:
            self._bury()
            self._started()
        finally:
            self.api.forget_events()
        self.network.pass_over()
        for _ in range(int((self.loop.time() - began) // STEP_SECONDS)):
            self._tick(0.0)
        if done is not None:
            check_pass(done, self.ecs.graph)
            self.watch.looked_at = self.ecs.now
            self._note_seen()
            self._check_scaling(before, began)
        self.watch.check()
        return done

    def _bury(self) -> None:
        """Cancel the tasks of the dead process."""
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left))

    def _note_seen(self) -> None:
        if not {"DescribeServices", "ListServices"} & self.api.spoiled:
            for name in self.ecs.services:
                self.watch.seen_services[name] = self.ecs.now

    def _check_scaling(self, before: dict[str, int], began: float) -> None:
        """Check that scaling used a recent signal, in steps, without reversal within the window."""
        service = self.ecs.services.get("g-prefill")
        if not self.scaled or service is None or service.name not in before:
            return
        was, now = before[service.name], service.desired
        told = f"scaled {was} -> {now} (invariant 5)"
        assert -SCALING.max_step_down <= now - was <= SCALING.max_step_up, told
        at, spec = self.loop.time(), SCALING
        if now != was:
            age = began - self.network.measured_at
            assert age <= spec.max_signal_age_seconds, f"{told} on a signal of {age} s"
        if now > was:
            self.raised_at = at
        if now < was:
            window = spec.scale_down_stabilization_seconds
            assert at - self.raised_at >= window, f"{told} {at - self.raised_at} s after it rose"

    # Steps of the daemon ------------------------------------------------------------------------

    def run(self, passes: int) -> None:
        """Run passes, some seconds apart."""
        for _ in range(passes):
            self.api.begin()
            self._pass()
            self._tick()

    def die(self, call: int, after: bool) -> None:
        """Let the process die in a pass, before or after a call takes effect; start another."""
        self.api.begin()
        (self.api.after if after else self.api.events)[call] = self.api.die
        self._pass()
        self._tick()

    def die_at_write(self, write: int, after: bool) -> None:
        """Like `die`, at a write."""
        self.api.begin()
        (self.api.after_write if after else self.api.at_write)[write] = self.api.die
        self._pass()
        self._tick()

    def lose_lease(self, write: int, during: bool = False) -> None:
        """After a write, another daemon becomes the leader and acts. ``during``: this happens
        while the write is throttled and retried."""
        self.api.begin()

        def lose() -> None:
            self.watch.writes_allowed = False
            if during:
                del self.api.at_write[write]
                raise refusal("write", "ThrottlingException", "Rate exceeded")

        (self.api.at_write if during else self.api.after_write)[write] = lose
        self._pass()
        self.watch.writes_allowed = True
        self.daemon, self.standby = self.standby, self.daemon
        self.daemon.forget()
        self.watch.seen_services = {}
        self.watch.stopped_at = {}
        self.api.begin()
        self._pass()
        self._tick()

    def race(self, call: int, kill: str) -> None:
        """Advance ECS during a pass, in which a task may be lost."""
        self.api.begin()

        def happen() -> None:
            if kill:
                self.calm = False
                self.ecs.kill(kill)
            self.ecs.step(0.0)

        self.api.events[call] = happen
        self._pass()
        self._tick()

    def absent(self, steps: int) -> None:
        """Stop reconciling for a while, then start a new process."""
        for _ in range(steps):
            self._tick()
        self._started()

    def jump(self, seconds: float) -> None:
        """Set the machine's wall clock."""
        self.skew += seconds

    # Steps of AWS and the network -----------------------------------------------------------------

    def fault(self, kind: str, prefix: str, times: int) -> None:
        """Let the next calls of some operations fail."""
        self.calm = False
        self.api.faults.append(Fault(Kind(kind), prefix, times))

    def lose_sight(self, what: str, passes: int) -> None:
        """Prevent the daemon from reaching something for some passes."""
        self.network.deaf[what] = passes

    def silence(self, component: str, index: int) -> None:
        """Prevent the daemon from reaching a worker, or allow it again."""
        if (task := self._one(component, index)) is not None:
            self.network.silent ^= {task.arn}

    def hang(self, component: str, index: int) -> None:
        """Freeze the process of a worker permanently."""
        if (task := self._one(component, index)) is not None:
            self.calm = False
            self.ecs.hung.setdefault(task.arn, self.ecs.now)

    def forget(self, component: str, index: int) -> None:
        """Remove the registration of a worker that continues to answer."""
        if (task := self._one(component, index)) is not None:
            self.calm = False
            self.ecs.forgotten.setdefault(task.arn, self.ecs.now)

    def _one(self, component: str, index: int) -> SimTask | None:
        service = self.ecs.services.get(f"g-{component}")
        tasks = service.tasks if service is not None else []
        return tasks[index % len(tasks)] if tasks else None

    def kill(self, component: str, index: int) -> None:
        """Lose a task."""
        self.calm = False
        self.ecs.kill(component, index)

    def lose_instance(self, number: int) -> None:
        """Lose an instance."""
        self.calm = False
        self.ecs.lose_instance(number % self.ecs.gpu_instances)

    def drain_instance(self, number: int) -> None:
        """Drain an instance, as an operator does."""
        self.calm = False
        self.ecs.drained.add(number % self.ecs.gpu_instances)

    def shortage(self) -> None:
        """Remove idle instances, so that there is no spare capacity."""
        self.calm = False
        used = {t.instance for s in self.ecs.services.values() for t in s.tasks}
        self.ecs.lost |= set(range(self.ecs.gpu_instances)) - used

    def add_instances(self, count: int) -> None:
        """Add instances to the cluster."""
        self.ecs.gpu_instances += count

    def spot(self, number: int, interruption: bool) -> None:
        """Send EC2's notice that an instance will be interrupted."""
        self.calm = False
        number %= self.ecs.gpu_instances
        if number in self.ecs.lost:
            return
        told = Notice(self.ecs.now, interruption=interruption)
        self.daemon.notice({wire.ec2_id(f"arn:ci/{number}"): told})
        if interruption:
            self.ends.setdefault(number, self.ecs.now + NOTICE_SECONDS)

    def work(self, component: str, index: int) -> None:
        """Give a worker requests, or let it finish them."""
        if (task := self._one(component, index)) is not None:
            self.ecs.busy ^= {task.arn}
            self.ecs.served_by |= {task.arn}

    def demand(self, value: float) -> None:
        self.network.demand = value

    def slow(self, steps: int) -> None:
        """Let workers that start later need longer until they register."""
        self.ecs.slow = steps

    def stranger(self, component: str) -> None:
        """Register a foreign revision in a family of the graph."""
        known = [r for r in self.ecs.revisions.values() if r.family == f"g-{component}"]
        if known:
            newest = max(known, key=lambda r: r.number)
            self.ecs.register(newest.content, {"owner": "them"})

    # Steps of the user ----------------------------------------------------------------------------

    def edit_image(self, component: str, how: str) -> None:
        """Declare another image; ``how``: it works, is mute or exits."""
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
            self.calm = False
        self._edit(with_image(self.ecs.graph, component, image))

    def edit_count(self, component: str, replicas: int) -> None:
        if not (self.scaled and component == "prefill"):
            self._edit(self._with(self.ecs.graph, component, replicas=replicas))

    # The end --------------------------------------------------------------------------------------

    def settle(self) -> None:
        """End all faults, add capacity and time: the graph converges and stays converged."""
        self.api.faults = []
        self.network.deaf, self.network.silent = {}, set()
        self.ecs.busy = set()
        self.ecs.slow = 0
        for component in sorted(self.bad):
            self.edit_image(component, "good")
        needed = sum(c.replicas for c in self.ecs.graph.components) * 2 + 6
        while self.ecs.free_instances() < needed or self._instances_left() < SETTLED_INSTANCES:
            self.ecs.gpu_instances += 1
        self.network.demand = 0.0
        for number in self.ends:
            self.ecs.lose_instance(number)
        self.ends = {}
        self._converge()
        for process in (self.daemon, self._process()):
            self.daemon = process
            self.api.begin()
            done = self._pass()
            assert done is not None
            assert done.converged, f"not converged any more: {done.plan.actions} {done.plan.waits}"
            assert not self.api.writes, f"converged, and yet {self.api.writes} (invariant 1)"
            self._tick()
        self._check_declared()
        self.calm = self.ecs.served()

    def _converge(self) -> None:
        """Run passes until nothing is left to do, even after the windows of scaling have ended."""
        left: list[str] = []
        sick_at = 0
        for number in range(SICK_PASSES):
            self._end_incurable()
            if self._sick():
                sick_at = number
            if number - sick_at >= SETTLE_PASSES:
                break
            self.api.begin()
            done = self._pass()
            assert done is not None
            self._tick()
            if done.converged and not self._scales() and not self._sick():
                return
            left = [f"{w.component}: {w.reason}" for w in done.plan.waits]
            left += [f"{r.action}: {r.error}" for r in done.results]
            left += [f"{arn} hangs or is lost" for arn in self._sick()]
        raise AssertionError(f"it does not converge: {left} (invariant 1)")

    def _instances_left(self) -> int:
        return len(set(range(self.ecs.gpu_instances)) - self.ecs.lost - self.ecs.drained)

    def _sick(self) -> list[str]:
        """Return the workers that hang or have lost their registration."""
        known = {*self.ecs.hung, *self.ecs.forgotten}
        return [t.arn for s in self.ecs.services.values() for t in s.tasks if t.arn in known]

    def _end_incurable(self) -> None:
        """Return the problems that need people: services without a good revision, which are not
        replaced, and workers that share an instance, because it is unknown which one is ill."""
        for component in WORKERS:
            service = self.ecs.services.get(f"g-{component}")
            told = self.ecs.described(f"g-{component}")
            if told is None or service is None:
                continue
            first, sick = good_arn(told) is None, self._sick()
            for index in reversed(range(len(service.tasks))):
                task = service.tasks[index]
                if task.arn in sick and (first or self.ecs.alike(service, task)):
                    self.kill(component, index)

    def _scales(self) -> bool:
        """Whether there is no demand and prefill is still above its minimum."""
        return self.scaled and self.ecs.services["g-prefill"].desired > SCALING.min

    def _check_declared(self) -> None:
        """Check that the account is as declared."""
        declared = {c.service for c in self.ecs.graph.components}
        ours = {n for n, s in self.ecs.services.items() if self.ecs.ours(s)}
        assert ours == declared
        for component in self.ecs.graph.components:
            service = self.ecs.services[component.service]
            if component.scaling is None:
                assert service.desired == component.replicas, f"{service.name}: {service.desired}"
            assert len(service.tasks) == service.desired
            assert {t.revision for t in service.tasks} <= {service.revision}
            content = self.ecs.content_of(service.name)
            wanted = component.template["containerDefinitions"][0]["image"]
            assert content["containerDefinitions"][0]["image"] == wanted
            assert (service.minimum, service.maximum) == (
                component.rollout.minimum_healthy_percent,
                component.rollout.maximum_percent,
            )
        workers = sum(c.replicas for c in self.ecs.graph.components if c.is_worker)
        assert self.ecs.served() == (
            workers > 0 and self.ecs.graph.component("frontend").replicas > 0
        )
