"""One time limit and one treatment of errors for every part of an observation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.snapshot import Observed, Unknown

T = TypeVar("T")


async def guard(
    part: str, work: Awaitable[T], seconds: float, aws: Aws | None = None
) -> Observed[T]:
    """Return the result of ``work``, or why it is unknown: AWS refused, or it took too long.

    The last failed attempt of ``aws`` explains a timeout.
    """
    if aws is not None:
        aws.last_error = None
    try:
        async with asyncio.timeout(seconds):
            return await work
    except AwsError as error:
        return Unknown(str(error))
    except TimeoutError:
        cause = f" ({aws.last_error})" if aws is not None and aws.last_error else ""
        return Unknown(f"{part} took longer than {seconds:g} s{cause}")
