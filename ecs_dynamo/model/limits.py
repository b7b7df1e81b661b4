"""Limits on the GPU slots that several components use together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slots:
    """GPU slots of one instance. ``usable_by``: the components whose replicas it can run."""

    count: int
    usable_by: frozenset[str]


@dataclass(frozen=True, slots=True)
class SharedLimit:
    """The GPU slots for which components compete.

    ``name`` describes it in words ("12 GPU slots of cluster gpu"), ``gpus`` has the slots of one
    replica by component. A replica needs all of its slots on one of the ``instances``. The graph
    file may also have ``declared`` the limit: then only the total counts.
    """

    name: str
    gpus: Mapping[str, int]
    instances: tuple[Slots, ...]
    declared: bool = False

    def fits(self, counts: Mapping[str, int]) -> bool:
        """Return whether this many replicas of each component fit.

        They are packed largest first, each into the instance that the fewest components can use and
        that it fills best (best fit decreasing). This is exact where the sizes divide each other,
        as 1, 2, 4 and 8 do, and all components can use the same instances.
        """
        own = {name: count for name, count in counts.items() if self.gpus.get(name) and count > 0}
        total = sum(self.gpus[name] * count for name, count in own.items())
        if total > sum(i.count for i in self.instances):
            return False
        if self.declared:
            return True
        free = [i.count for i in self.instances]
        usable = {name: sum(i.count for i in self.instances if name in i.usable_by) for name in own}
        for name in sorted(own, key=lambda n: (-self.gpus[n], usable[n], n)):
            size, unplaced = self.gpus[name], own[name]
            fitting = sorted(
                (len(instance.usable_by), free[index], index)
                for index, instance in enumerate(self.instances)
                if name in instance.usable_by
            )
            # The best fit stays the best until it is full, so instances are filled in this order.
            for _, slots, index in fitting:
                placed = min(unplaced, slots // size)
                free[index] -= placed * size
                unplaced -= placed
            if unplaced:
                return False
        return True
