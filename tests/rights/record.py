"""A record of the product's calls on a local ECS, checked against the policies of its graph.

It answers two questions. Was each call allowed, with its resources and conditions of that moment?
And, over the whole suite, did every permission of every statement allow some call?
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypedDict

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
WITHOUT_PERMISSION: set[str] = {"sts:GetCallerIdentity"}
"""Calls that need no permission (STS API reference)."""
_AGENT = re.compile(r"ecs-dynamo(?:-(\w+))?(?:\s|$)")


class Permission(NamedTuple):
    """An action that a statement of a policy document allows."""

    document: str
    sid: str
    action: str


UNTESTED: set[Permission] = {
    # doctor observes as the daemon does: protection during a rollout or scale-in, and revisions if
    # a family has more than are kept.
    Permission("doctor.json", "ReadInClusters", "ecs:GetTaskProtection"),
    Permission("doctor.json", "ReadWhatHasNoResource", "ecs:ListTaskDefinitions"),
}
"""Permissions that are needed although no test uses them."""


class Rights(TypedDict):
    """Permissions as lists, for the transfer between processes."""

    granted: list[list[str]]
    used: list[list[str]]


class Session:
    """Permissions that were granted to and used by the tests of a run."""

    def __init__(self) -> None:
        self.granted: set[Permission] = set()
        self.used: set[Permission] = set()

    def grant(self, documents: Documents) -> None:
        """Record the permissions of the product's own identities in ``documents``."""
        for name in {n for names in ROLES.values() for n in names}:
            for part in _parts(documents, name):
                for statement in part["Statement"]:
                    sid, actions = statement["Sid"], statement["Action"]
                    self.granted |= {Permission(name, sid, action) for action in actions}

    def rights(self) -> Rights:
        """Return the record for `merge` in another process."""
        return {
            "granted": [list(permission) for permission in sorted(self.granted)],
            "used": [list(permission) for permission in sorted(self.used)],
        }

    def merge(self, other: Rights) -> None:
        """Add the record of another process."""
        self.granted |= {Permission(*permission) for permission in other["granted"]}
        self.used |= {Permission(*permission) for permission in other["used"]}

    def problem(self) -> str | None:
        """Return a description of permissions that no call of the suite used; None without any.

        The permissions are those of the tests' graphs and of `widest`, which needs all of them.
        """
        self.grant(render_iam(widest(), "us-east-1", ACCOUNT, "leases", "events"))
        unused = self.granted - self.used
        if unexpected := sorted(unused - UNTESTED):
            return f"allowed by a rendered policy but never used: {unexpected}"
        if used := sorted(UNTESTED - unused):
            return f"UNTESTED lists permissions that are used: {used}"
        return None


SESSION = Session()
"""The record of this process."""


class Recorder:
    """A recorder of calls to ``local``; ``rendered`` returns the policies of the current graphs."""

    def __init__(
        self, local: LocalEcs, session: Session, rendered: Callable[[], Iterable[Documents]]
    ) -> None:
        self.denied: list[str] = []
        self._session = session
        self._rendered = rendered
        self._last_tags: dict[str, dict[str, str]] = {}
        state = local.state
        self._world = World(
            region=state.region,
            account=ACCOUNT,
            tags=lambda arn: self._tags(state, arn),
            group_of=lambda instance: _group(state, instance),
        )
        local.on_call = self._on_call

    def _on_call(self, call: Call, parameters: Mapping[str, Any]) -> None:
        command = _AGENT.search(call.agent)
        if command is None:
            return
        names = ROLES.get(command[1] or "")
        if names is None:
            self.denied.append(f"tests/rights/record.py does not know the command {command[1]}")
            return
        try:
            requests = [
                r
                for r in requests_of(call.service, call.operation, parameters, self._world)
                if r.action not in WITHOUT_PERMISSION
            ]
        except NotKnownError as error:
            self.denied.append(str(error))
            return
        versions = list(self._rendered()) if requests else []
        for request in requests:
            if not any(self._allowed(request, names, documents) for documents in versions):
                self.denied.append(f"{' and '.join(names)}: {request}")

    def _tags(self, state: State, arn: str) -> dict[str, str]:
        holders: Iterable[Any] = (
            *state.clusters.values(),
            *state.services.values(),
            *state.tasks.values(),
            *state.instances.values(),
            *(d for family in state.definitions.values() for d in family),
        )
        tags = next((_plain(h.tags) for h in holders if h.arn == arn), None)
        if tags is None:
            # AWS keeps deleted objects for a while; the local ECS removes them immediately.
            return self._last_tags.get(arn, {})
        self._last_tags[arn] = tags
        return tags

    def _allowed(
        self, request: AccessRequest, names: tuple[str, ...], documents: Documents
    ) -> bool:
        for name in names:
            decision = decide(_parts(documents, name), request)
            if decision.allowed:
                self._session.used |= {
                    Permission(name, sid, request.action) for sid in decision.statements
                }
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
