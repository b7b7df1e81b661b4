"""Errors of AWS calls: their codes, and which of them are worth another attempt."""

from __future__ import annotations

from botocore.exceptions import ClientError

from ecs_dynamo.model.errors import AwsError

THROTTLES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",  # DynamoDB: the table of the lease.
        "RequestLimitExceeded",  # EC2, EC2 Auto Scaling.
        "RequestThrottled",  # SQS.
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Codes with which AWS's services throttle: those of botocore's standard retry mode, without
``LimitExceededException``, which ECS returns for a quota that no retry helps against, and those of
transactions."""
TRANSIENT = frozenset({"ServerException", "InternalFailure", "InternalError", "ServiceUnavailable"})
NO_ANSWER = frozenset({"Unreachable", "BadAnswer"})
"""Codes of `AwsError` after which it is unknown whether the call took effect."""
CONCURRENT_REVISIONS = "Too many concurrent attempts to create a new revision"
"""ECS's answer to RegisterTaskDefinition while another revision of the family is being registered.
Its code, ClientException, is that of a permanent refusal."""
CALLED_ONCE = frozenset({"RegisterTaskDefinition"})
"""Operations that create something on every call and have no client token. Without an answer the
call may have taken effect, so it is not retried here: the caller checks first."""


def to_aws_error(operation: str, error: ClientError) -> AwsError:
    """Return the error that AWS answered."""
    details = error.response.get("Error", {})
    return AwsError(
        operation,
        str(details.get("Code", "Unknown")),
        str(details.get("Message", error)),
        error.response.get("Item"),  # type: ignore[arg-type]  # botocore types no service's extras
    )


def is_transient(failure: AwsError) -> bool:
    """Whether the call may succeed a moment later."""
    if failure.code in THROTTLES | TRANSIENT:
        return True
    return failure.code == "ClientException" and CONCURRENT_REVISIONS in str(failure)
