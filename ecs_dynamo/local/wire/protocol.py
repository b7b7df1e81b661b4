"""The ECS wire protocol (JSON 1.1), checked against botocore's own service model.

Requests that the model refuses are refused, answers that it does not know are not given: so what
works here works with any AWS SDK, and a typo in a handler fails in its first test.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

TARGET_PREFIX = "AmazonEC2ContainerServiceV20141113."
Json = dict[str, Any]


class EcsError(Exception):
    """An error as AWS gives it: ``code`` is the exception's name in the API reference."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

    def body(self) -> str:
        return json.dumps({"__type": self.code, "message": str(self)})


def invalid(message: str) -> EcsError:
    """InvalidParameterException."""
    return EcsError("InvalidParameterException", message)


def client_error(message: str) -> EcsError:
    """ClientException."""
    return EcsError("ClientException", message)


@cache
def service_model() -> Any:
    """botocore's model of ECS."""
    return botocore.session.get_session().get_service_model("ecs")


def parse(operation: str, body: bytes) -> Json:
    """The parameters of a request. Raises EcsError for an unknown operation or a bad shape."""
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
    """The answer as JSON, with times as seconds and only what the model knows."""
    shape = service_model().operation_model(operation).output_shape
    return json.dumps(_shaped(answer, shape))


def _shaped(value: Any, shape: Any) -> Any:
    if value is None:
        return None
    match shape.type_name if shape is not None else "":
        case "structure":
            unknown = set(value) - set(shape.members)
            if unknown:
                raise KeyError(f"{shape.name} has no member {sorted(unknown)}")
            return {k: _shaped(v, shape.members[k]) for k, v in value.items() if v is not None}
        case "list":
            return [_shaped(item, shape.member) for item in value]
        case "map":
            return {k: _shaped(v, shape.value) for k, v in value.items()}
        case "timestamp":
            return value.timestamp() if isinstance(value, datetime) else float(value)
        case "integer" | "long":
            return int(value)
    return value


def page(
    items: Sequence[str], request: Json, default: int = 100, most: int = 100
) -> tuple[list[str], str | None]:
    """One page of ``items`` by the request's ``maxResults`` and ``nextToken``."""
    size = request.get("maxResults", default)
    if not 1 <= size <= most:
        raise invalid(f"maxResults must be between 1 and {most}")
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
    more = base64.urlsafe_b64encode(f"at:{end}".encode()).decode() if end < len(items) else None
    return list(items[start:end]), more


def failure(arn: str, reason: str = "MISSING", detail: str | None = None) -> Json:
    """One entry of an answer's ``failures``."""
    return {"arn": arn, "reason": reason, **({"detail": detail} if detail else {})}


ACCOUNT = "123456789012"
"""moto's default account, so that both answer for the same one."""
