"""One paginator for every operation that answers in pages.

It never gives a part for the whole: a list that does not end within its bound, or whose pages
repeat, raises.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.model.errors import AwsError

PAGES = 100
"""More pages than any list that is read here has."""

Json = dict[str, Any]

_TOKENS: Mapping[str, tuple[str, str]] = {
    "ecs": ("nextToken", "nextToken"),
    "logs": ("nextToken", "nextToken"),
    "iam": ("Marker", "Marker"),
}
"""Name of the token in the request and in the answer, by service (botocore's paginator models)."""
_OTHER = ("NextToken", "NextToken")


async def read_pages(
    aws: Aws, service: str, operation: str, /, *, at_most: int = PAGES, **parameters: Any
) -> AsyncGenerator[Json, None]:
    """The answers, one a page. Raises `AwsError`: TooManyPages after ``at_most`` of them."""
    asked, told = _TOKENS.get(service, _OTHER)
    token: str | None = None
    used: set[str] = set()
    for _ in range(at_most):
        more = {asked: token} if token else {}
        answer = await aws.call(service, operation, **parameters, **more)
        yield answer
        token = answer.get(told)
        if not token:
            return
        if token in used:
            raise AwsError(operation, "RepeatedPage", "a page leads back to a former one")
        used.add(token)
    raise AwsError(operation, "TooManyPages", f"more than {at_most} pages")


async def read_all(
    aws: Aws, service: str, operation: str, key: str, /, **parameters: Any
) -> list[Any]:
    """All entries of the member ``key``. Raises `AwsError` where not all of them can be read."""
    found: list[Any] = []
    async with aclosing(read_pages(aws, service, operation, **parameters)) as pages:
        async for answer in pages:
            found += answer.get(key) or ()
    return found
