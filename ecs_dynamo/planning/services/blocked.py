"""Rules: notes about adjusted settings, and explanations for components that cannot change now."""

from __future__ import annotations

from ecs_dynamo.model.dynamo.containers import containers_note
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.rollout.deployment_limits import widening_note


def note_adjustments(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Note where ports, containers or deployment limits differ from what the user may expect."""
    builder = builder.with_notes(context.ports.notes)
    builder = builder.with_notes(map(containers_note, context.graph.components))
    return builder.with_notes(map(widening_note, context.actionable))


def explain_blocked_components(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Explain doubts, obstacles, deferred counts and failed rollouts.

    They come first: the first wait of a component is the one that its condition shows.
    """
    doubts, obstacles = context.doubts.all, context.obstacles
    for name in sorted(doubts.keys() - obstacles.keys()):
        text = f"{doubts[name]}; until then nothing is replaced or released"
        builder = builder.with_wait(name, WaitPurpose.CERTAINTY, text)
    for name, obstacle in obstacles.items():
        builder = builder.with_wait(name, WaitPurpose.OBSTACLE, obstacle.message)
    for wait in context.deferrals:
        if wait.component not in obstacles:
            builder = builder.with_wait(wait.component, wait.purpose, wait.reason)
    for name, message in context.failures.messages.items():
        builder = builder.with_wait(name, WaitPurpose.NEW_DECLARATION, message)
    return builder
