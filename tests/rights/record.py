"""A record of the product's calls on a local ECS, checked against the policies of its graph.

It answers two questions. Was each call allowed, with its resources and conditions of that moment?
And, over the whole suite, did every permission of every statement allow some call?
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

from ecs_dynamo.iam.render import render_iam
from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.wire.faults import Call
from ecs_dynamo.local.wire.protocol import ACCOUNT
from tests.rights.policy import AccessRequest, decide
from tests.rights.requests import NotKnownError, World, requests_of
from tests.rights.widest import widest

Documents = Mapping[str, Mapping[str, Any]]

ROLES: Mapping[str, tuple[str, ...]] = {
    "": ("daemon-task-role.json",),
    "doctor": ("doctor.json",),
    "rollback": ("daemon-task-role.json",),
}
"""Command (empty: the daemon and its passes) -> the documents of its identity."""
FREE: set[str] = {"sts:GetCallerIdentity"}
"""Calls that need no permission (STS API reference)."""
_AGENT = re.compile(r"ecs-dynamo(?:-(\w+))?(?:\s|$)")

Right = tuple[str, str, str]
"""Document, Sid, action."""
NEVER_HERE: set[Right] = {
    # doctor observes as the daemon does: protection while a service rolls or scales in, and
    # revisions if a family has more than are kept.
    ("doctor.json", "ReadInClusters", "ecs:GetTaskProtection"),
    ("doctor.json", "ReadWhatHasNoResource", "ecs:ListTaskDefinitions"),
}
"""Permissions that are needed although no test uses them."""


class Rights(TypedDict):
    """Permissions as lists, for the transfer between processes."""

    granted: list[list[str]]
    used: list[list[str]]


class Session:
    """Permissions that were granted to and used by the tests of a run."""

    def __init__(self) -> None:
        self.granted: set[Right] = set()
        self.used: set[Right] = set()

    def grant(self, documents: Documents) -> None:
        """Return every permission in ``documents`` that the product itself uses."""
        for name in {n for names in ROLES.values() for n in names}:
            for part in _parts(documents, name):
                for statement in part["Statement"]:
                    self.granted |= {(name, statement["Sid"], a) for a in statement["Action"]}

    def rights(self) -> Rights:
        """Return the record for `merge` in another process."""
        return {
            "granted": [list(right) for right in sorted(self.granted)],
            "used": [list(right) for right in sorted(self.used)],
        }

    def merge(self, other: Rights) -> None:
        """Add the record of another process."""
        self.granted |= {(d, s, a) for d, s, a in other["granted"]}
        self.used |= {(d, s, a) for d, s, a in other["used"]}

    def problem(self) -> str | None:
        """Report permissions that allowed no call in the whole suite; None if there are none.

        They are those of the tests' graphs and of `widest`, which needs every permission.
        """
        self.grant(render_iam(widest(), "us-east-1", ACCOUNT, "leases", "events"))
        unused = self.granted - self.used
        if more := sorted(unused - NEVER_HERE):
            return f"allowed by a rendered policy but never used: {more}"
        if used := sorted(NEVER_HERE - unused):
            return f"NEVER_HERE lists what is used: {used}"
        return None


SESSION = Session()
"""The record of this process."""


class Recorder:
    """Record the calls to ``local``; ``rendered`` returns the policies of the current graphs."""

    def __init__(
        self, local: LocalEcs, session: Session, rendered: Callable[[], Iterable[Documents]]
    ) -> None:
        self.denied: list[str] = []
        self._session = session
        self._rendered = rendered
        self._known: dict[str, dict[str, str]] = {}
        state = local.state
        self._world = World(
            region=state.region,
            account=ACCOUNT,
            tags=lambda arn: self._tags(state, arn),
            group_of=lambda instance: _group(state, instance),
        )
        local.on_call = self._heard

    def _heard(self, call: Call, parameters: Mapping[str, Any]) -> None:
        command = _AGENT.search(call.agent)
        if command is None:
            return
        names = ROLES.get(command[1] or "")
        if names is None:
            self.denied.append(f"{command[1]} is no command that tests/rights/record.py knows")
            return
        try:
            asked = [
                r
                for r in requests_of(call.service, call.operation, parameters, self._world)
                if r.action not in FREE
            ]
        except NotKnownError as error:
            self.denied.append(str(error))
            return
        versions = list(self._rendered()) if asked else []
        for request in asked:
            if not any(self._allowed(request, names, documents) for documents in versions):
                self.denied.append(f"{' and '.join(names)}: {request}")

    def _tags(self, state: State, arn: str) -> dict[str, str]:
        holders: Iterable[Any] = (
            *state.clusters.values(),
            *state.services.values(),
            *state.tasks.values(),
            *state.instances.values(),
            *(d for known in state.definitions.values() for d in known),
        )
        found = next((_plain(h.tags) for h in holders if h.arn == arn), None)
        if found is None:
            # AWS keeps deleted objects for a while; the local ECS removes them at once.
            return self._known.get(arn, {})
        self._known[arn] = found
        return found

    def _allowed(
        self, request: AccessRequest, names: tuple[str, ...], documents: Documents
    ) -> bool:
        for name in names:
            decision = decide(_parts(documents, name), request)
            if decision.allowed:
                self._session.used |= {(name, sid, request.action) for sid in decision.statements}
                return True
        return False


def _parts(documents: Documents, name: str) -> list[Mapping[str, Any]]:
    """Return the documents of a role; IAM's size limit may require several."""
    parts = re.compile(rf"{re.escape(name.removesuffix('.json'))}(-\d+)?\.json")
    return [document for other, document in documents.items() if parts.fullmatch(other)]


def _plain(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {t["key"]: t["value"] for t in tags}


def _group(state: State, instance_id: str) -> str:
    return next(
        (
            i.scaling_group
            for i in state.instances.values()
            if i.ec2_id == instance_id and i.scaling_group
        ),
        "none",
    )
