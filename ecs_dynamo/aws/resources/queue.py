"""Messages of an SQS queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecs_dynamo.aws.client import Aws

MESSAGES_PER_CALL = 10
"""Messages in one ReceiveMessage or DeleteMessageBatch (SQS API reference)."""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message of a queue; ``receipt`` is needed to delete it."""

    body: str
    receipt: str
    id: str | None = None


async def receive_messages(
    aws: Aws, queue_url: str, *, wait_seconds: int, visibility_seconds: int
) -> list[ReceivedMessage]:
    """Wait up to ``wait_seconds`` for messages. Raises `AwsError`.

    A message that is not deleted within ``visibility_seconds`` returns to the queue.
    """
    answer = await aws.call(
        "sqs",
        "ReceiveMessage",
        QueueUrl=queue_url,
        MaxNumberOfMessages=MESSAGES_PER_CALL,
        WaitTimeSeconds=wait_seconds,
        VisibilityTimeout=visibility_seconds,
    )
    return [
        ReceivedMessage(m.get("Body", ""), m.get("ReceiptHandle", ""), m.get("MessageId"))
        for m in answer.get("Messages", [])
    ]


async def delete_messages(
    aws: Aws, queue_url: str, messages: Sequence[ReceivedMessage]
) -> list[str | None]:
    """Delete messages; the error codes of those that stay. Raises `AwsError`."""
    answer = await aws.call(
        "sqs",
        "DeleteMessageBatch",
        QueueUrl=queue_url,
        Entries=[{"Id": str(i), "ReceiptHandle": m.receipt} for i, m in enumerate(messages)],
    )
    return [failure.get("Code") for failure in answer.get("Failed", [])]
