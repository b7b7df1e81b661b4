"""The ECS wire protocol (JSON 1.1), checked against botocore's own service model.

A request that violates the model is rejected, and an answer with a member that the model does not
define raises an error. So whatever works here works with any AWS SDK, and a misspelt member in an
operation fails its first test.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

import botocore.session
from botocore.validate import ParamValidator

TARGET_PREFIX = "AmazonEC2ContainerServiceV20141113."
Json = dict[str, Any]
Entity = TypeVar("Entity")


class EcsError(Exception):
    """An error answer. ``code`` is the exception's name in the ECS API reference."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

    def body(self) -> str:
        """Return the error as the body of an AWS JSON answer."""
        return json.dumps({"__type": self.code, "message": str(self)})


def invalid(message: str) -> EcsError:
    """Return an InvalidParameterException with ``message``."""
    return EcsError("InvalidParameterException", message)


def client_error(message: str) -> EcsError:
    """Return a ClientException with ``message``."""
    return EcsError("ClientException", message)


@cache
def service_model() -> Any:
    """Return botocore's service model of ECS."""
    return botocore.session.get_session().get_service_model("ecs")


def parse(operation: str, body: bytes) -> Json:
    """Return the parameters of a request.

    Raises EcsError if the operation is unknown, or if the body violates its input shape.
    """
    if operation not in service_model().operation_names:
        raise EcsError("UnknownOperationException", f"Unknown operation {operation}")
    try:
        parameters = json.loads(body or b"{}")
    except ValueError:
        raise EcsError("SerializationException", "the body is not JSON") from None
    if not isinstance(parameters, dict):
        raise EcsError("SerializationException", "the body is not a JSON object")
    parameters = {k: v for k, v in parameters.items() if v is not None}
    shape = service_model().operation_model(operation).input_shape
    if shape is not None:
        errors = ParamValidator().validate(parameters, shape)
        if errors.has_errors():
            raise invalid(errors.generate_report())
    return parameters


def serialise(operation: str, answer: Mapping[str, Any]) -> str:
    """Return the answer as JSON, with timestamps in seconds.

    Raises KeyError if the answer has a member that the output shape does not define.
    """
    shape = service_model().operation_model(operation).output_shape
    return json.dumps(_serialisable(answer, shape))


def _serialisable(value: Any, shape: Any) -> Any:
    if value is None:
        return None
    match shape.type_name if shape is not None else "":
        case "structure":
            unknown = set(value) - set(shape.members)
            if unknown:
                raise KeyError(f"{shape.name} has no member {sorted(unknown)}")
            return {
                k: _serialisable(v, shape.members[k]) for k, v in value.items() if v is not None
            }
        case "list":
            return [_serialisable(item, shape.member) for item in value]
        case "map":
            return {k: _serialisable(v, shape.value) for k, v in value.items()}
        case "timestamp":
            return value.timestamp() if isinstance(value, datetime) else float(value)
        case "integer" | "long":
            return int(value)
    return value


def page(
    items: Sequence[str], request: Json, default: int = 100, limit: int = 100
) -> tuple[list[str], str | None]:
    """Return the page of ``items`` that the request asks for, and the token of the next page.

    The token is None after the last page. Raises EcsError for an invalid ``maxResults`` (by default
    ``default``, at most ``limit``) or ``nextToken``.
    """
    size = request.get("maxResults", default)
    if not 1 <= size <= limit:
        raise invalid(f"maxResults must be between 1 and {limit}")
    start = 0
    token = request.get("nextToken")
    if token is not None:
        try:
            start = int(base64.urlsafe_b64decode(token.encode()).decode().removeprefix("at:"))
        except ValueError:
            raise invalid("Invalid token") from None
        if not 0 <= start <= len(items):
            raise invalid("Invalid token")
    end = start + size
    next_token = (
        base64.urlsafe_b64encode(f"at:{end}".encode()).decode() if end < len(items) else None
    )
    return list(items[start:end]), next_token


def describe_each(
    names: Iterable[str],
    find: Callable[[str], Entity | None],
    describe: Callable[[Entity], Json],
    arn_of: Callable[[str], str],
) -> tuple[list[Json], list[Json]]:
    """Return the descriptions of the named entities that exist, and failures for the others."""
    descriptions, failures = [], []
    for name in names:
        entity = find(name)
        if entity is None:
            failures.append(failure(arn_of(name)))
        else:
            descriptions.append(describe(entity))
    return descriptions, failures


def failure(arn: str, reason: str = "MISSING", detail: str | None = None) -> Json:
    """Return an entry of an answer's ``failures``."""
    return {"arn": arn, "reason": reason, **({"detail": detail} if detail else {})}


ACCOUNT = "123456789012"
"""moto's default account, so that moto and the local ECS agree on it."""
ROOT_ARN = f"arn:aws:iam::{ACCOUNT}:root"
"""The principal that every request is attributed to."""
