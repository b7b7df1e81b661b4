"""The default event bus: delivers events to the SQS queues of rules that clients create in moto.

moto stores the rules and the queues, and matches event patterns. Its PutEvents is not used: clients
cannot put events of AWS services, and moto checks neither whether a rule is enabled nor the policy
of a queue. As on AWS, a queue whose policy does not allow EventBridge to send gets no event.
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
_STRING_OPERATORS = frozenset({"ArnEquals", "ArnLike", "StringEquals", "StringLike"})


def timestamp(seconds: float) -> str:
    """Return a time in the format of events: ISO 8601 in UTC, with milliseconds."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


class EventBus:
    """The default event bus of one Region."""

    def __init__(self, region: str) -> None:
        self._region = region

    def put(
        self, source: str, detail_type: str, resources: Sequence[str], detail: Json, at: float
    ) -> None:
        """Deliver an event to the targets of all matching rules.

        ``at`` is in seconds since the epoch. Failed deliveries are only logged, as on AWS.
        """
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
            _log.warning("the target of %s is not a queue of this Region: %s", rule, target)
        elif not may_send(queue.policy, rule, target):
            _log.warning("the policy of %s does not allow the rule %s to send to it", target, rule)
        else:
            sqs_backends[ACCOUNT][self._region].send_message(name, json.dumps(event))


def may_send(policy: Any, rule: str, queue: str) -> bool:
    """Whether a queue's policy allows EventBridge to send messages for ``rule``."""
    document = json.loads(policy) if isinstance(policy, str) and policy else policy or {}
    effects = {
        statement["Effect"]
        for statement in _as_list(document.get("Statement"))
        if _applies(statement, rule, queue)
    }
    return effects == {"Allow"}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _applies(statement: Json, rule: str, queue: str) -> bool:
    principal = statement.get("Principal")
    principals = (
        _as_list(principal.get("Service")) + _as_list(principal.get("AWS"))
        if isinstance(principal, dict)
        else _as_list(principal)
    )
    context = {"aws:SourceArn": rule, "aws:SourceAccount": ACCOUNT}
    return (
        bool({PRINCIPAL, "*"} & set(principals))
        and any(fnmatchcase("sqs:SendMessage", a) for a in _as_list(statement.get("Action")))
        and any(fnmatchcase(queue, r) for r in _as_list(statement.get("Resource")))
        and all(
            operator in _STRING_OPERATORS
            and any(fnmatchcase(context.get(key, ""), value) for value in _as_list(values))
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )
