"""Validation errors of EC2 that moto does not raise, and faults of the services of moto."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from aiohttp import web

from ecs_dynamo.local.wire.faults import Fault, FaultKind

MAX_FILTER_VALUES = 200
_INSTANCE = re.compile(r"i-([0-9a-f]{8}|[0-9a-f]{17})")
_INSTANCE_PARAMETER = re.compile(r"InstanceId\.\d+")
_FILTER_VALUE = re.compile(r"Filter\.(\d+)\.Value\.\d+")


def _error_response(code: str, message: str, status: int = 400) -> web.Response:
    """Return an error in EC2's format (EC2 API reference, "Error codes")."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{code}</Code><Message>{escape(message)}</Message>"
        "</Error></Errors><RequestID>local</RequestID></Response>"
    )
    return web.Response(status=status, text=body, content_type="text/xml")


def validation_error(operation: str, body: bytes) -> web.Response | None:
    """Return EC2's answer to an invalid request, or None if moto can answer the request."""
    parameters = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    if operation == "DescribeInstances":
        for name, value in parameters:
            if _INSTANCE_PARAMETER.fullmatch(name) and not _INSTANCE.fullmatch(value):
                return _error_response("InvalidInstanceID.Malformed", f'Invalid id: "{value}"')
    values = Counter(m[1] for name, _ in parameters if (m := _FILTER_VALUE.fullmatch(name)))
    if any(count > MAX_FILTER_VALUES for count in values.values()):
        return _error_response(
            "FilterLimitExceeded",
            "The maximum number of filter values specified on a single call is "
            f"{MAX_FILTER_VALUES}",
        )
    return None


async def apply_fault(fault: Fault | None) -> web.Response | None:
    """Apply a fault before a call to moto; return the answer that replaces the call, or None."""
    if fault is not None and fault.kind is FaultKind.THROTTLE:
        return _error_response("RequestLimitExceeded", "Request limit exceeded.", 503)
    if fault is not None and fault.kind is FaultKind.ERROR:
        return _error_response("InternalError", "An internal error has occurred", 500)
    if fault is not None and fault.kind is FaultKind.DELAY:
        await asyncio.sleep(fault.seconds)
    return None


def truncate_answer(fault: Fault | None, answer: web.Response) -> web.Response:
    """Return the answer, with half of its body if the fault is of the kind ``truncated``."""
    if fault is None or fault.kind is not FaultKind.TRUNCATED or not isinstance(answer.body, bytes):
        return answer
    headers = {"Content-Type": answer.headers.get("Content-Type", "text/xml")}
    body = answer.body[: len(answer.body) // 2]
    return web.Response(status=answer.status, body=body, headers=headers)
