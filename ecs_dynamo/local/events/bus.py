"""The default event bus: events go to the SQS queues of the rules that clients put into moto.

moto keeps the rules, matches their patterns and keeps the queues. Its own PutEvents is passed by,
as no client may put events of AWS's services, and as it asks neither whether a rule is on nor what
a queue's policy says: a queue that EventBridge may not send to gets nothing, as on AWS.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from moto.events.models import events_backends
from moto.sqs.models import sqs_backends

from ecs_dynamo.local.wire.protocol import ACCOUNT, Json

_log = logging.getLogger(__name__)

PRINCIPAL = "events.amazonaws.com"
_EXACT = frozenset({"ArnEquals", "ArnLike", "StringEquals", "StringLike"})


def instant(seconds: float) -> str:
    """A time as events tell it."""
    told = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")


class EventBus:
    """The default bus of one Region."""

    def __init__(self, region: str) -> None:
        self._region = region

    def put(
        self, source: str, detail_type: str, resources: Sequence[str], detail: Json, at: float
    ) -> None:
        """Send an event to whatever target wants it. Never raises: on AWS nobody is told either."""
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": source,
            "account": ACCOUNT,
            "time": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": self._region,
            "resources": list(resources),
            "detail": detail,
        }
        bus = events_backends[ACCOUNT][self._region].describe_event_bus("default")
        for rule in list(bus.rules.values()):
            pattern = rule.event_pattern
            if rule.state != "ENABLED" or not pattern.get_pattern():
                continue
            if pattern.matches_event(event):  # type: ignore[arg-type]  # moto's time is a number
                for target in list(rule.targets):
                    self._deliver(rule.arn, target["Arn"], event)

    def _deliver(self, rule: str, target: str, event: Json) -> None:
        name = target.rsplit(":", 1)[-1]
        queue = sqs_backends[ACCOUNT][self._region].queues.get(name)
        if ":sqs:" not in target or queue is None:
            _log.warning("%s has a target that is no queue here: %s", rule, target)
        elif not may_send(queue.policy, rule, target):
            _log.warning("the policy of %s lets EventBridge's rule %s not send to it", target, rule)
        else:
            sqs_backends[ACCOUNT][self._region].send_message(name, json.dumps(event))


def may_send(policy: Any, rule: str, queue: str) -> bool:
    """Whether a queue's policy lets EventBridge send there for ``rule``."""
    document = json.loads(policy) if isinstance(policy, str) and policy else policy or {}
    effects = {
        statement["Effect"]
        for statement in _several(document.get("Statement"))
        if _applies(statement, rule, queue)
    }
    return effects == {"Allow"}


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _applies(statement: Json, rule: str, queue: str) -> bool:
    principal = statement.get("Principal")
    named = (
        _several(principal.get("Service")) + _several(principal.get("AWS"))
        if isinstance(principal, dict)
        else _several(principal)
    )
    context = {"aws:SourceArn": rule, "aws:SourceAccount": ACCOUNT}
    return (
        bool({PRINCIPAL, "*"} & set(named))
        and any(fnmatchcase("sqs:SendMessage", a) for a in _several(statement.get("Action")))
        and any(fnmatchcase(queue, r) for r in _several(statement.get("Resource")))
        and all(
            operator in _EXACT
            and any(fnmatchcase(context.get(key, ""), value) for value in _several(values))
            for operator, wanted in statement.get("Condition", {}).items()
            for key, values in wanted.items()
        )
    )
