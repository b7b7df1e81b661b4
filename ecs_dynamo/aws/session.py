"""The HTTP session of the AWS clients, which reads answers only up to a maximum size."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import ConnectionClosedError, HTTPClientError, ReadTimeoutError

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""A full page of DescribeTasks (100 tasks) or DescribeInstances stays below 2 MiB."""


class BoundedSession(AIOHTTPSession):
    """aiobotocore 3.10's session, whose own `send` reads bodies of any length."""

    async def send(self, request: Any) -> Any:
        """Send a request and read its answer. Raises botocore's HTTP errors."""
        is_streamed, request.stream_output = request.stream_output, True
        answer = await super().send(request)
        if is_streamed:
            return answer
        body = bytearray()
        try:
            async for chunk in answer.raw.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    answer.raw.close()
                    raise HTTPClientError(
                        error=f"the answer is longer than {MAX_ANSWER_BYTES} bytes"
                    )
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
            raise ConnectionClosedError(
                error=error, request=request, endpoint_url=request.url
            ) from None
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=request.url, error=error) from None
        except (aiohttp.ClientError, OSError) as error:
            raise HTTPClientError(error=error) from None
        if answer.status_code == 200 and _expects_json(request):
            try:
                json.loads(body)
            except (ValueError, RecursionError):
                raise HTTPClientError(error="the answer is not JSON") from None
        answer._content = bytes(body)
        return answer


def _expects_json(request: Any) -> bool:
    """Whether the operation's protocol is AWS JSON.

    botocore's parser treats a body that is not JSON, such as one that was cut off, as an answer
    without members (`BaseJSONParser._parse_body_as_json`), which reads like an empty list.
    """
    content_type = request.headers.get("Content-Type", "")
    is_bytes = isinstance(content_type, bytes)
    text = content_type.decode(errors="replace") if is_bytes else str(content_type)
    return text.startswith("application/x-amz-json")
