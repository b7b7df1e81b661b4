"""Event patterns and the queue's policy for ECS events through EventBridge and SQS. Pure."""

from __future__ import annotations

from ecs_dynamo.iam.statements import Arns, Graphs, Json, document, scope_of
from ecs_dynamo.model.ecs.events import (
    DETAIL_TYPES,
    NOTICE_TYPES,
)


def notice_pattern() -> Json:
    """Return the pattern of the second rule: EC2's notices name an instance and no cluster."""
    return {"source": ["aws.ec2"], "detail-type": list(NOTICE_TYPES)}


def event_pattern(graphs: Graphs, region: str, account: str) -> Json:
    """Return the EventBridge rule's pattern: events of the graphs' clusters.

    A deployment event has no ``clusterArn``; the service's ARN contains its cluster (ECS developer
    guide, "Amazon ECS service deployment state change events").
    """
    scope = scope_of(graphs, region, account)
    arns = scope.arns
    services = [arns.within("service", name, "") for name in scope.clusters]
    return {
        "source": ["aws.ecs"],
        "detail-type": list(DETAIL_TYPES),
        "$or": [
            {"detail": {"clusterArn": [arns.cluster(name) for name in scope.clusters]}},
            {"resources": [{"prefix": prefix} for prefix in services]},
        ],
    }


def queue_policy(region: str, account: str, queue: str) -> Json:
    """Return a policy that allows EventBridge's rules of this account to send to the queue."""
    arns = Arns(region, account)
    return document(
        [
            {
                "Sid": "EventsIn",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arns.of("sqs", queue),
                "Condition": {"ArnLike": {"aws:SourceArn": arns.of("events", "rule/*")}},
            }
        ]
    )
