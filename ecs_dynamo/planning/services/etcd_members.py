"""Rule: an etcd cluster on ECS gets its members one at a time.

etcd needs to know a member's address before the member starts, and Fargate assigns it afterwards.
The following makes it work (measured on etcd 3.5.1):

- A joining server compares the peer URLs of its ``ETCD_INITIAL_CLUSTER`` with those that the
  cluster lists, as text. Its own URL need not be reachable, because the joining server dials the
  others. So a member is added at a placeholder URL, its task is started, and its real address is
  set last. The placeholder refuses connections at once: one that timed out would count against the
  member long after its real address is set.
- It is added as a learner, which has no vote, so a task that never comes up costs no quorum. It is
  promoted before its address is set: setting the address of a learner makes etcd list it as a voter
  of which its raft log knows nothing.
- A task that ECS restarts begins without data. Its placeholder is no longer listed, so etcd exits
  by itself. The first member of a cluster, however, would begin the same cluster again, under the
  same ids. Such a server knows of no other member, and is never accepted (`etcd_membership`).

Each member is a service of its own, because each has its own environment. That environment is
frozen while the member lives: etcd reads it at the first start only.
"""

from __future__ import annotations

from ecs_dynamo.model.plan import ChangeMembership, MembershipStep
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.etcd_member import needs_replacement
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.observed.etcd_membership import Membership


def plan_members(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Take the next step of the membership, and explain what each slot waits for."""
    membership = context.observed.membership
    followed = not any(
        s.needs_rollout or s.rollout_in_progress or s.old_tasks for s in context.dependants
    )
    change = next_step(membership, followed=followed) if membership.slots else None
    if change is not None:
        builder = builder.with_actions([change])
    for slot in membership.slots:
        is_first = membership.lost and slot == membership.slots[0]
        if slot.revision is None and slot.awaited is None and not is_first:
            text = "joins the etcd cluster after the members before it"
        elif membership.members and slot.member is None and slot.awaited is None:
            text = "its task is not a member of the etcd cluster and is being replaced"
        elif needs_replacement(slot):
            text = "its task definition changed; members are replaced one at a time"
        else:
            continue
        builder = builder.with_wait(slot.component.name, WaitPurpose.MEMBER_TURN, text)
    return builder


def next_step(membership: Membership, *, followed: bool) -> ChangeMembership | None:
    """Return the next change of the membership; etcd accepts one at a time.

    The order keeps a quorum and never leaves two changes open: obsolete additions and members
    whose task is gone are removed, joined learners are promoted and get their address, then a
    missing member is added, and last one is replaced whose declaration changed. ``followed``: all
    dependants have the current endpoints, and can spare one of them.
    """
    if not membership.servers:
        return None
    removal = _next_removal(membership)
    if removal is not None:
        return removal
    for slot in membership.slots:
        member, url, name = slot.member, slot.peer_url, slot.component.name
        if member is None or slot.view is None:
            continue
        if member.learner:
            reason = "it has joined"
            return _step(membership, MembershipStep.PROMOTE, name, reason, member=member.id)
        if url is not None and url not in member.peer_urls:
            reason = "its address is known"
            return _step(membership, MembershipStep.UPDATE, name, reason, member=member.id, url=url)
    if any(m.learner for m in membership.members) or membership.gone:
        return None
    for slot in membership.slots:
        if slot.member is None:
            name, url = slot.component.name, slot.placeholder
            return _step(membership, MembershipStep.ADD, name, "its slot has no member", url=url)
    for slot in membership.slots:
        if membership.is_complete and followed and needs_replacement(slot):
            name, url = slot.component.name, slot.placeholder
            reason = "its task definition changed: another member replaces it"
            return _step(membership, MembershipStep.ADD, name, reason, url=url)
    return None


def _next_removal(membership: Membership) -> ChangeMembership | None:
    """Return the removal of an added member that is not needed, or of one whose task is gone."""
    awaiting = [s for s in membership.slots if s.awaited is not None]
    for slot in awaiting:
        is_served = slot.is_current and slot.member and not needs_replacement(slot)
        if slot.awaited is not None and is_served:
            name, reason = slot.component.name, "the declared revision already runs"
            return _step(membership, MembershipStep.REMOVE, name, reason, member=slot.awaited.id)
    for member in membership.gone:
        # The environment of a joining server lists the voters, so these must not change now.
        if member.learner or not awaiting:
            first = membership.slots[0].component.name
            reason = f"the task of {member.name or 'an added member'} is gone"
            return _step(membership, MembershipStep.REMOVE, first, reason, member=member.id)
    return None


def _step(
    membership: Membership,
    step: MembershipStep,
    component: str,
    reason: str,
    *,
    member: int = 0,
    url: str = "",
) -> ChangeMembership:
    return ChangeMembership(
        component=component,
        reason=reason,
        step=step,
        servers=membership.servers,
        member=member,
        peer_url=url,
    )
