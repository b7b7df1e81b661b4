"""The HTTP session of the AWS clients: an answer is read up to a bound, and no further."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import ConnectionClosedError, HTTPClientError, ReadTimeoutError

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""A full page of DescribeTasks (100 tasks) or DescribeInstances stays below 2 MiB."""


class BoundedSession(AIOHTTPSession):
    """As aiobotocore 3.10's, whose `send` reads the whole body, however long it is."""

    async def send(self, request: Any) -> Any:
        """Send, and read the answer. Raises botocore's HTTP errors."""
        asked, request.stream_output = request.stream_output, True
        answer = await super().send(request)
        if asked:
            return answer
        body = bytearray()
        try:
            async for piece in answer.raw.content.iter_any():
                body += piece
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
        if answer.status_code == 200 and _asks_json(request):
            try:
                json.loads(body)
            except (ValueError, RecursionError):
                raise HTTPClientError(error="the answer is not JSON") from None
        answer._content = bytes(body)
        return answer


def _asks_json(request: Any) -> bool:
    """Whether the operation's protocol is AWS JSON.

    botocore's parser takes a body that is not JSON, such as one that was cut off, for an answer
    without any member (`BaseJSONParser._parse_body_as_json`): a list of nothing.
    """
    kind = request.headers.get("Content-Type", "")
    text = kind.decode(errors="replace") if isinstance(kind, bytes) else str(kind)
    return text.startswith("application/x-amz-json")
