"""Lists: one paginator for every operation that answers in pages, and batches of names.

The paginator never passes a part off as the whole: a list that does not end within its bound, or
whose pages repeat, raises.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.model.errors import AwsError

PAGES = 100
"""More pages than any list that is read here has."""
VALUES_PER_FILTER = 200
"""Values in one filter (EC2 API reference)."""

Json = dict[str, Any]
T = TypeVar("T")

_TOKENS: Mapping[str, tuple[str, str]] = {
    "ecs": ("nextToken", "nextToken"),
    "logs": ("nextToken", "nextToken"),
    "iam": ("Marker", "Marker"),
}
"""Names of the token in the request and in the answer, by service (botocore's paginator models)."""
_OTHER = ("NextToken", "NextToken")


def batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Yield ``items`` in lists of at most ``size``, as many as one call accepts."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


async def read_pages(
    aws: Aws, service: str, operation: str, /, *, at_most: int = PAGES, **parameters: Any
) -> AsyncGenerator[Json, None]:
    """Yield the answers, one per page. Raises `AwsError`: TooManyPages after ``at_most`` pages."""
    request_name, answer_name = _TOKENS.get(service, _OTHER)
    token: str | None = None
    used: set[str] = set()
    for _ in range(at_most):
        more = {request_name: token} if token else {}
        answer = await aws.call(service, operation, **parameters, **more)
        yield answer
        token = answer.get(answer_name)
        if not token:
            return
        if token in used:
            raise AwsError(operation, "RepeatedPage", "a page leads back to an earlier one")
        used.add(token)
    raise AwsError(operation, "TooManyPages", f"more than {at_most} pages")


async def read_all(
    aws: Aws, service: str, operation: str, key: str, /, **parameters: Any
) -> list[Any]:
    """Return all entries of the member ``key``. Raises `AwsError` if not all can be read."""
    entries: list[Any] = []
    async with aclosing(read_pages(aws, service, operation, **parameters)) as pages:
        async for answer in pages:
            entries += answer.get(key) or ()
    return entries


async def read_filtered(
    aws: Aws, service: str, operation: str, key: str, name: str, values: Iterable[str]
) -> AsyncIterator[Json]:
    """Yield the entries that have one of ``values`` in the filter ``name``. Raises `AwsError`."""
    for batch in batches(sorted(set(values)), VALUES_PER_FILTER):
        filters = [{"Name": name, "Values": batch}]
        for raw in await read_all(aws, service, operation, key, Filters=filters):
            yield raw
