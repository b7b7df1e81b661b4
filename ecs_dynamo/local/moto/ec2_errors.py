"""EC2's refusals that moto does not know, and faults of the services that moto serves."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from aiohttp import web

from ecs_dynamo.local.wire.faults import Fault

FILTER_VALUES = 200
_INSTANCE = re.compile(r"i-([0-9a-f]{8}|[0-9a-f]{17})")
_INSTANCE_PARAMETER = re.compile(r"InstanceId\.\d+")
_FILTER_VALUE = re.compile(r"Filter\.(\d+)\.Value\.\d+")


def _error(code: str, message: str, status: int = 400) -> web.Response:
    """An error as EC2 gives it (EC2 API reference, "Error codes")."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{code}</Code><Message>{escape(message)}</Message>"
        "</Error></Errors><RequestID>local</RequestID></Response>"
    )
    return web.Response(status=status, text=body, content_type="text/xml")


def refused(operation: str, body: bytes) -> web.Response | None:
    """EC2's answer to a request that it refuses; None for one that moto may answer."""
    parameters = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    if operation == "DescribeInstances":
        for name, value in parameters:
            if _INSTANCE_PARAMETER.fullmatch(name) and not _INSTANCE.fullmatch(value):
                return _error("InvalidInstanceID.Malformed", f'Invalid id: "{value}"')
    values = Counter(m[1] for name, _ in parameters if (m := _FILTER_VALUE.fullmatch(name)))
    if any(count > FILTER_VALUES for count in values.values()):
        return _error(
            "FilterLimitExceeded",
            f"The maximum number of filter values specified on a single call is {FILTER_VALUES}",
        )
    return None


async def refusal_of(fault: Fault | None) -> web.Response | None:
    """What a fault answers in place of a service of moto's."""
    if fault is not None and fault.kind == "throttle":
        return _error("RequestLimitExceeded", "Request limit exceeded.", 503)
    if fault is not None and fault.kind == "error":
        return _error("InternalError", "An internal error has occurred", 500)
    if fault is not None and fault.kind == "delay":
        await asyncio.sleep(fault.seconds)
    return None


def cut(fault: Fault | None, answer: web.Response) -> web.Response:
    """The answer, whose body ends in the middle where the fault says so."""
    if fault is None or fault.kind != "truncated" or not isinstance(answer.body, bytes):
        return answer
    headers = {"Content-Type": answer.headers.get("Content-Type", "text/xml")}
    body = answer.body[: len(answer.body) // 2]
    return web.Response(status=answer.status, body=body, headers=headers)
