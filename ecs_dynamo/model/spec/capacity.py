"""The graph file's words for capacity: where replicas may go, and what may add instances.

Names, ranges and limits are ECS's own (API reference, CreateService: at most 20 providers, weight 0
to 1000, base 0 to 100000 on one of them, 5 strategies, 10 constraints).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ecs_dynamo.model.spec.base import (
    Seconds,
    SpecModel,
)

FARGATE_PROVIDERS = frozenset({"FARGATE", "FARGATE_SPOT"})
"""The capacity providers that AWS has in every cluster."""


class CapacityProviderItem(SpecModel):
    """One capacity provider of a strategy: its share by ``weight`` after the first ``base``."""

    name: Annotated[str, Field(min_length=1)]
    weight: Annotated[int, Field(ge=0, le=1000)] = 1
    base: Annotated[int, Field(ge=0, le=100_000)] = 0


CapacityProviders = Annotated[tuple[CapacityProviderItem, ...], Field(max_length=20)]


def check_providers(providers: tuple[CapacityProviderItem, ...]) -> None:
    """Refuse what ECS can not carry out. Raises ValueError with a remedy."""
    names = [p.name for p in providers]
    if len(set(names)) < len(names):
        raise ValueError("capacityProviders names one provider twice; give each one once")
    if providers and not any(p.weight for p in providers):
        raise ValueError(
            "every weight in capacityProviders is 0, so that no replica could be placed; "
            "give one a weight above 0"
        )
    if sum(p.base > 0 for p in providers) > 1:
        raise ValueError("only one of capacityProviders can have a base; remove the others")
    fargate = {n for n in names if n in FARGATE_PROVIDERS}
    if fargate and fargate != set(names):
        raise ValueError(
            "capacityProviders mixes Fargate with EC2 providers, which ECS refuses; "
            "use two components"
        )


class PlacementStrategySpec(SpecModel):
    """One placement strategy; several apply in order."""

    type: Literal["spread", "binpack", "random"]
    field: str | None = None

    @model_validator(mode="after")
    def _right_field(self) -> Self:
        if self.type == "binpack" and self.field not in ("cpu", "memory"):
            raise ValueError("binpack packs by nothing else; set field to cpu or memory")
        if self.type == "spread" and not self.field:
            raise ValueError(
                "spread needs a field; set it to instanceId, or to an attribute such as "
                "attribute:ecs.availability-zone"
            )
        if self.type == "random" and self.field is not None:
            raise ValueError("random takes no field; remove it")
        return self


class PlacementConstraintSpec(SpecModel):
    """One placement constraint; all must hold."""

    type: Literal["memberOf", "distinctInstance"]
    expression: Annotated[str, Field(max_length=2000)] | None = None

    @model_validator(mode="after")
    def _right_expression(self) -> Self:
        if self.type == "memberOf" and not self.expression:
            raise ValueError(
                "memberOf needs an expression; write one such as "
                "attribute:ecs.instance-type == g5.xlarge"
            )
        if self.type == "distinctInstance" and self.expression is not None:
            raise ValueError("distinctInstance takes no expression; remove it")
        return self


class PlacementSpec(SpecModel):
    """Where ECS places a component's replicas on EC2. ``strategy`` None takes the default."""

    strategy: Annotated[tuple[PlacementStrategySpec, ...], Field(max_length=5)] | None = None
    constraints: Annotated[tuple[PlacementConstraintSpec, ...], Field(max_length=10)] = ()


class AutoScalingGroupSpec(SpecModel):
    """An Auto Scaling group whose desired size is set within ``min`` and ``max``.

    ``cluster`` is the one that its instances join; None is the workers' cluster.
    """

    name: Annotated[str, Field(min_length=1, max_length=255)]
    cluster: str | None = None
    min: Annotated[int, Field(ge=0)] = 0
    max: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; lower min or raise max")
        return self


class CapacitySpec(SpecModel):
    """What may add instances and give them back.

    An instance goes back once it was seen without a task for ``scale_in_seconds`` on end.
    """

    auto_scaling_groups: tuple[AutoScalingGroupSpec, ...] = ()
    scale_in_seconds: Seconds = 900.0

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [g.name for g in self.auto_scaling_groups]
        if len(set(names)) < len(names):
            raise ValueError("autoScalingGroups names one group twice; give each one once")
        return self
