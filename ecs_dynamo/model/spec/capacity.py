"""Capacity in the graph file: where replicas may run, and which groups of instances may grow.

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
    """One capacity provider of a component's strategy."""

    name: str = Field(
        min_length=1,
        description="Name of a capacity provider of the component's cluster, or FARGATE or "
        "FARGATE_SPOT.",
    )
    weight: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="Relative share of the replicas beyond base that run on this provider.",
    )
    base: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Number of replicas that run on this provider before weights apply. Only one "
        "provider of a component can have a base.",
    )


CapacityProviders = Annotated[tuple[CapacityProviderItem, ...], Field(max_length=20)]


def check_providers(providers: tuple[CapacityProviderItem, ...]) -> None:
    """Refuse a strategy that ECS cannot carry out. Raises ValueError with a remedy."""
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
    """One placement strategy of ECS. Several apply in order."""

    type: Literal["spread", "binpack", "random"] = Field(
        description="How ECS chooses an instance: spread evens replicas out over the values of "
        "field, binpack fills instances, random chooses any."
    )
    field: str | None = Field(
        default=None,
        description="For spread: instanceId or an attribute such as "
        "attribute:ecs.availability-zone. For binpack: cpu or memory. Not used with random.",
    )

    @model_validator(mode="after")
    def _field_fits_type(self) -> Self:
        if self.type == "binpack" and self.field not in ("cpu", "memory"):
            raise ValueError("binpack needs a field; set it to cpu or memory")
        if self.type == "spread" and not self.field:
            raise ValueError(
                "spread needs a field; set it to instanceId, or to an attribute such as "
                "attribute:ecs.availability-zone"
            )
        if self.type == "random" and self.field is not None:
            raise ValueError("random takes no field; remove it")
        return self


class PlacementConstraintSpec(SpecModel):
    """One placement constraint of ECS. An instance must meet all of them."""

    type: Literal["memberOf", "distinctInstance"] = Field(
        description="memberOf: the instance meets expression. distinctInstance: at most one "
        "replica of the component per instance."
    )
    expression: Annotated[str, Field(max_length=2000)] | None = Field(
        default=None,
        description="For memberOf: an expression of ECS's cluster query language, such as "
        "attribute:ecs.instance-type == g5.xlarge.",
    )

    @model_validator(mode="after")
    def _expression_fits_type(self) -> Self:
        if self.type == "memberOf" and not self.expression:
            raise ValueError(
                "memberOf needs an expression; write one such as "
                "attribute:ecs.instance-type == g5.xlarge"
            )
        if self.type == "distinctInstance" and self.expression is not None:
            raise ValueError("distinctInstance takes no expression; remove it")
        return self


class PlacementSpec(SpecModel):
    """Where ECS places a component's replicas on EC2."""

    strategy: Annotated[tuple[PlacementStrategySpec, ...], Field(max_length=5)] | None = Field(
        default=None,
        description="Placement strategies, in order. By default frontends are spread over "
        "Availability Zones and instances, and all other components are spread over zones and "
        "packed by memory. An empty list leaves placement to ECS.",
    )
    constraints: tuple[PlacementConstraintSpec, ...] = Field(
        default=(),
        max_length=10,
        description="Placement constraints. ECS counts those of the task definition too: at most "
        "10 together.",
    )


class AutoScalingGroupSpec(SpecModel):
    """An EC2 Auto Scaling group whose desired size ecs-dynamo sets."""

    name: str = Field(min_length=1, max_length=255, description="Name of the Auto Scaling group.")
    cluster: str | None = Field(
        default=None,
        description="Name or ARN of the ECS cluster that the group's instances join. Default: "
        "clusters.workers.",
    )
    min: int = Field(default=0, ge=0, description="Smallest desired size that is set.")
    max: int = Field(
        ge=1,
        description="Largest desired size that is set. The group's own MaxSize applies as well.",
    )

    @model_validator(mode="after")
    def _min_is_not_above_max(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; lower min or raise max")
        return self


class CapacitySpec(SpecModel):
    """Groups of instances that ecs-dynamo sizes for the replicas."""

    auto_scaling_groups: tuple[AutoScalingGroupSpec, ...] = Field(
        default=(),
        description="Auto Scaling groups that ecs-dynamo sizes. Groups that a capacity provider's "
        "managed scaling sizes are left to ECS.",
    )
    scale_in_seconds: Seconds = Field(
        default=900.0,
        description="Seconds that an instance must run no task before it is terminated.",
    )
    max_gpus: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Largest number of GPUs that scaling may request for all components together. "
        "Default: no limit except the observed instances.",
    )

    @model_validator(mode="after")
    def _groups_are_distinct(self) -> Self:
        names = [g.name for g in self.auto_scaling_groups]
        if len(set(names)) < len(names):
            raise ValueError("autoScalingGroups names one group twice; give each one once")
        return self
