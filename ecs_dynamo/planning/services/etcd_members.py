"""An etcd cluster on ECS: who is a member, who joins next, and which task definition that takes.

etcd wants to know a member's address before it starts, and Fargate tells it after. What makes it
work (measured on etcd 3.5.1):

- A server that joins compares the peer URLs of its ``ETCD_INITIAL_CLUSTER`` with those that the
  cluster lists, as text. Its own need not be reachable, as it dials the others. So a place is added
  at a placeholder, its task is started, and its real address is set last. The placeholder refuses
  at once: what times out is counted against the member when its real address is long set.
- It is added as a learner, which has no vote: a task that never comes up costs no quorum. It is
  promoted before its address is set, as setting the address of a learner makes etcd list it as a
  voter that its raft does not know of.
- A task that ECS starts again begins without data. Its placeholder is in no list any more, so etcd
  ends by itself. But the first of a cluster begins that anew, under the same ids: it is told by
  knowing of nobody else, and is never taken in.

Each member is a service of its own, since each has its own environment. That is frozen while the
member lives: what is in it counts at the first start alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from ecs_dynamo.model.plan import ChangeMembership, MembershipStep
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.etcd_member import is_due
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.observed.etcd_membership import Membership


def next_step(found: Membership, *, followed: bool) -> ChangeMembership | None:
    """The one change of the membership that comes next; etcd takes them one at a time.

    ``followed``: dependants have the endpoints of now, all of them, and can spare one of them.
    """
    if not found.servers:
        return None

    def step(
        kind: MembershipStep, place: str, why: str, member: int = 0, url: str = ""
    ) -> ChangeMembership:
        return ChangeMembership(
            component=place,
            reason=why,
            step=kind,
            servers=found.servers,
            member=member,
            peer_url=url,
        )

    first = found.slots[0].component.name
    awaited = [p for p in found.slots if p.awaited is not None]
    for place in awaited:
        if place.awaited is not None and place.current and place.member and not is_due(place):
            why = "what is declared runs already"
            return step(MembershipStep.REMOVE, place.component.name, why, place.awaited.id)
    for one in found.gone:
        # A joining server's list must stay as it is written in its environment.
        if one.learner or not awaited:
            why = f"the task of {one.name or 'an added member'} is gone"
            return step(MembershipStep.REMOVE, first, why, one.id)
    for place in found.slots:
        member, url, name = place.member, place.peer_url, place.component.name
        if member is None or place.view is None:
            continue
        if member.learner:
            return step(MembershipStep.PROMOTE, name, "it has joined", member.id)
        if url is not None and url not in member.peer_urls:
            return step(MembershipStep.UPDATE, name, "its address is known", member.id, url)
    if any(m.learner for m in found.members) or found.gone:
        return None
    for place in found.slots:
        name = place.component.name
        if place.member is None:
            return step(MembershipStep.ADD, name, "it is to join", url=place.placeholder)
    for place in found.slots:
        if found.whole and followed and is_due(place):
            why = "its task definition changed: another takes its place"
            return step(MembershipStep.ADD, place.component.name, why, url=place.placeholder)
    return None


def plan_members(
    draft: PlanBuilder, found: Membership, dependants: Sequence[ComponentState]
) -> None:
    """The next change of the membership, and what each place waits for."""
    followed = not any(w.needs_rollout or w.rollout_in_progress or w.old_tasks for w in dependants)
    change = next_step(found, followed=followed)
    if change is not None:
        draft.actions.append(change)
    for place in found.slots:
        name = place.component.name
        begins = found.lost and place == found.slots[0]
        if place.revision is None and place.awaited is None and not begins:
            draft.wait(name, "joins the etcd cluster when the members before it are in")
        elif found.members and place.member is None and place.awaited is None:
            draft.wait(name, "its task is not in the etcd cluster; another takes its place")
        elif is_due(place):
            draft.wait(name, "its task definition changed; members are replaced one at a time")
