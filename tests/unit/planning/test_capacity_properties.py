"""Properties of capacity in a small world: a group, its instances, and an ECS that places tasks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.capacity import (
    AutoScalingGroup,
    GroupInstance,
)
from ecs_dynamo.model.graph import TAG_GRAPH, Graph
from ecs_dynamo.model.memory.capacity import CapacityMemory
from ecs_dynamo.model.plan import (
    AnyAction,
    SetDesiredCapacity,
    SetInstancesState,
    TerminateInstance,
)
from ecs_dynamo.model.snapshot import (
    ContainerInstance,
    Snapshot,
    Task,
)
from ecs_dynamo.planning.capacity.plan import (
    plan_capacity,
)
from tests.helpers.capacity import (
    NOW,
    SMALL,
    declared,
    declared_graph,
    instance,
    snapshot,
    task,
    worker,
)


@dataclass
class World:
    """Instances boot a step after they were asked for; ECS places what fits, whichever way."""

    base: Graph
    gpus: int
    desired: int = 0
    joined: list[ContainerInstance] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=dict)
    now: float = NOW
    number: int = 0
    memory: CapacityMemory = field(default_factory=CapacityMemory)
    highest: int = 0

    def snapshot(self) -> Snapshot:
        state = AutoScalingGroup(
            "asg",
            self.desired,
            0,
            10,
            tuple(GroupInstance(i.ec2_instance_id, "InService") for i in self.joined),
            sizes=(SMALL,),
        )
        return snapshot(*self.joined, groups={"asg": state}, observed_at=self.now)

    def on(self, arn: str) -> int:
        return sum(t.container_instance_arn == arn for t in self.tasks.values())

    def refresh(self) -> None:
        self.joined = [
            replace(
                i,
                tasks=self.on(i.arn),
                gpus_free=i.gpus - self.on(i.arn) * self.gpus,
                memory_free=i.memory - self.on(i.arn) * 64,
            )
            for i in self.joined
        ]

    def step(self, replicas: int, restart: bool) -> list[AnyAction]:
        if restart:
            self.memory = CapacityMemory()
        while len(self.joined) < self.desired:
            self.number += 1
            self.joined.append(instance(self.number))
        for name in sorted(self.tasks)[replicas:]:
            del self.tasks[name]
        self.refresh()
        for name in (f"t{n}" for n in range(replicas)):
            if name in self.tasks:
                continue
            place = next(
                (i for i in self.joined if i.status == "ACTIVE" and i.gpus_free >= self.gpus), None
            )
            if place is not None:
                self.tasks[name] = task(name, place.arn)
                self.refresh()
        self.now += 10
        item = declared_graph(worker(gpus=self.gpus), replicas, *self.tasks.values())
        result = plan_capacity(self.base, self.snapshot(), (item,), self.memory, self.now)
        self.memory = result.memory
        for action in (*result.actions, *result.actions):  # Each twice: nothing is doubled.
            self.apply(action)
        self.refresh()
        return [*result.actions]

    def apply(self, action: AnyAction) -> None:
        spec = self.base.capacity.auto_scaling_groups[0]
        match action:
            case SetDesiredCapacity():
                assert action.desired <= spec.max
                self.desired = max(self.desired, action.desired)
                self.highest = max(self.highest, self.desired)
            case SetInstancesState():
                self.joined = [
                    replace(i, status=action.status, tags={TAG_GRAPH: "g"})
                    if i.arn in action.instances
                    else i
                    for i in self.joined
                ]
            case TerminateInstance():
                gone = [i for i in self.joined if i.arn == action.instance]
                assert all(self.on(i.arn) == 0 for i in gone), "an instance with a task was ended"
                if gone:
                    assert self.desired > spec.min
                    self.joined.remove(gone[0])
                    self.desired -= 1


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30),
    least=st.integers(0, 2),
    room=st.integers(0, 4),
)
def test_bounds_hold_no_task_is_ended_and_it_settles(
    steps: list[tuple[int, bool]], least: int, room: int
) -> None:
    most = max(1, least + room)
    world = World(declared(least=least, most=most, window=30.0), gpus=1)
    for replicas, restart in steps:
        world.step(replicas, restart)
        assert world.desired <= most
        assert world.desired <= max(least, max(r for r, _ in steps))
    last = steps[-1][0]
    for _ in range(20):
        actions = world.step(last, restart=False)
    assert actions == []
    assert world.desired == max(least, min(most, last))
    assert len(world.tasks) == min(most, last)
