"""The client of AWS: every call takes a token of its API family, and only this module retries.

botocore's own retries are off, so that attempts are counted, bounded and visible in one place.
Therefore this package has to know which errors are worth another attempt (`aws.failures`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from aiolimiter import AsyncLimiter
from botocore import xform_name
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError

from ecs_dynamo.aws.failures import CALLED_ONCE, NO_ANSWER, is_transient, to_aws_error
from ecs_dynamo.aws.rate_limits import BUCKETS, bucket_of, is_write
from ecs_dynamo.aws.required_members import missing_part
from ecs_dynamo.aws.response_types import wrong_type
from ecs_dynamo.aws.server_clock import ServerClock
from ecs_dynamo.aws.session import BoundedSession
from ecs_dynamo.aws.write_guard import write_seconds_left
from ecs_dynamo.common.backoff import Backoff
from ecs_dynamo.model.errors import AwsError, InputError, Problem

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AwsOptions:
    """How to reach AWS; None means as the AWS CLI would. Times are seconds.

    ``command`` is part of the User-Agent, so that CloudTrail distinguishes the calls of a person's
    command from those of the daemon.
    """

    endpoint_url: str | None = None
    profile: str | None = None
    region: str | None = None
    connect_timeout: float = 3.0
    read_timeout: float = 20.0
    attempts: int = 6
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.4, longest=5.0))
    command: str = ""

    @property
    def call_timeout(self) -> float:
        """Seconds that one attempt may take, even if data keeps arriving slowly."""
        return self.connect_timeout + 2 * self.read_timeout


def _is_local(endpoint_url: str | None) -> bool:
    host = urlsplit(endpoint_url or "").hostname
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _credentials(options: AwsOptions, environ: Mapping[str, str]) -> dict[str, str]:
    """Return dummy credentials for a local stack if none are set; else botocore finds its own."""
    if (
        _is_local(options.endpoint_url)
        and options.profile is None
        and not {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"} & environ.keys()
    ):
        return {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return {}


class _FailedAttempt(Exception):  # noqa: N818 (an outcome that is handled here)
    """One attempt failed with ``failure``, which another attempt may overcome (``retryable``)."""

    def __init__(self, failure: AwsError, *, retryable: bool) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.retryable = retryable


class Aws:
    """The AWS APIs of one account and Region. Made by `open_aws`.

    ``calls`` counts attempts by ``"ecs:DescribeServices"``; nothing is ever removed from it.
    """

    def __init__(
        self, clients: Mapping[str, Any], options: AwsOptions, jitter: Callable[[], float]
    ) -> None:
        self._clients = clients
        self._options = options
        self._jitter = jitter
        self._buckets = {
            name: AsyncLimiter(burst, burst / rate) for name, (burst, rate) in BUCKETS.items()
        }
        self.clock = ServerClock()
        self.calls: Counter[str] = Counter()
        self.last_error: AwsError | None = None
        """The last failed attempt; it shows why an observation ran out of time."""

    @property
    def writes(self) -> int:
        """Attempts at operations that change something."""
        return sum(n for name, n in self.calls.items() if is_write(name.split(":")[1]))

    @property
    def reads(self) -> int:
        """Attempts at operations that change nothing."""
        return self.calls.total() - self.writes

    async def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """Make one call, such as ``call("ecs", "DescribeServices", cluster=...)``.

        Throttling, server errors and broken connections are retried with jittered, bounded
        back-off, and so are reads whose answer lacks a required part (`aws.required_members`).
        A write that timed out may have taken effect; callers must allow for that. A write is
        attempted only while `write_guard` allows it. Raises `AwsError`.
        """
        bucket = self._buckets[bucket_of(service, operation)]
        started = time.monotonic()
        attempt = 0
        failure: AwsError | None = None
        while True:
            attempt += 1
            async with bucket:
                seconds_left = write_seconds_left() if is_write(operation) else inf
                if seconds_left <= 0:
                    raise AwsError(
                        operation,
                        "LeaseLost",
                        "not sent: this daemon no longer holds the lease on the graph"
                        + (f" (attempt {attempt - 1}: {failure})" if failure else ""),
                    )
                self.calls[f"{service}:{operation}"] += 1
                try:
                    return await self._attempt(service, operation, parameters, seconds_left)
                except _FailedAttempt as failed:
                    failure, retryable = failed.failure, failed.retryable
            if operation in CALLED_ONCE and failure.code in NO_ANSWER:
                retryable = False
            self.last_error = failure
            if not retryable or attempt >= self._options.attempts:
                raise failure from None
            pause = self._options.backoff.delay(attempt, self._jitter())
            _log.debug(
                "aws call retried",
                operation=operation,
                code=failure.code,
                attempt=attempt,
                pause_seconds=round(pause, 3),
                elapsed_seconds=round(time.monotonic() - started, 3),
            )
            await asyncio.sleep(pause)

    async def _attempt(
        self, service: str, operation: str, parameters: dict[str, Any], seconds_left: float
    ) -> dict[str, Any]:
        """Make one attempt. Raises `_FailedAttempt`, or `AwsError` where no attempt can succeed."""
        method = getattr(self._clients[service], xform_name(operation))
        sent_at = self.clock.monotonic()
        try:
            # read_timeout bounds each wait for more data; this bounds all of them together.
            async with asyncio.timeout(min(self._options.call_timeout, seconds_left)):
                answer: dict[str, Any] = await method(**parameters)
            self._check_answer(service, operation, parameters, answer)
        except _FailedAttempt:
            raise
        except ClientError as error:
            failure = to_aws_error(operation, error)
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            retryable = is_transient(failure) or status >= 500
            raise _FailedAttempt(failure, retryable=retryable) from None
        except (BotoConnectionError, HTTPClientError, TimeoutError, OSError) as error:
            endpoint = self._options.endpoint_url or "AWS"
            failure = AwsError(operation, "Unreachable", f"{endpoint}: {error}")
            raise _FailedAttempt(failure, retryable=True) from None
        except ResponseParserError:
            # A proxy or a load balancer in between answered.
            failure = AwsError(operation, "BadAnswer", "the answer is not from AWS")
            raise _FailedAttempt(failure, retryable=True) from None
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise AwsError(
                operation, "NoCredentials", f"{error}; configure them as for the AWS CLI"
            ) from None
        except BotoCoreError as error:
            raise AwsError(operation, type(error).__name__, str(error)) from None
        except Exception as error:
            # botocore's parsers raise all kinds of exceptions for a malformed body: text that is
            # not UTF-8, values of another type, invalid times, endless nesting.
            failure = _unreadable(operation, type(error).__name__)
            raise _FailedAttempt(failure, retryable=True) from None
        self.clock.observe(sent_at, answer)
        return answer

    def _check_answer(
        self, service: str, operation: str, parameters: dict[str, Any], answer: dict[str, Any]
    ) -> None:
        """Raise `_FailedAttempt` if a part of the answer has a wrong type or is missing."""
        model = self._clients[service].meta.service_model.operation_model(operation)
        shape = model.output_shape
        wrong = wrong_type(shape, answer) if shape is not None else None
        if wrong is not None:
            failure = _unreadable(operation, f"{wrong} does not have the declared type")
            raise _FailedAttempt(failure, retryable=True)
        missing = missing_part(service, operation, parameters, answer)
        if missing is not None:
            # A write may have taken effect: the next pass observes before it repeats the write.
            failure = AwsError(operation, "BadAnswer", missing)
            raise _FailedAttempt(failure, retryable=not is_write(operation))


def _unreadable(operation: str, reason: str) -> AwsError:
    return AwsError(operation, "BadAnswer", f"the answer cannot be read: {reason}")


@asynccontextmanager
async def open_aws(
    options: AwsOptions, services: tuple[str, ...] = ("ecs", "ec2")
) -> AsyncIterator[Aws]:
    """Open clients for ``services``. Raises `InputError` for a missing profile or region."""
    config = AioConfig(
        connect_timeout=options.connect_timeout,
        read_timeout=options.read_timeout,
        retries={"total_max_attempts": 1},
        max_pool_connections=32,
        http_session_cls=BoundedSession,
        user_agent_extra=f"ecs-dynamo-{options.command}" if options.command else "ecs-dynamo",
    )
    keys = _credentials(options, os.environ)
    region = options.region or ("us-east-1" if keys and not _region_set() else None)
    async with AsyncExitStack() as stack:
        try:
            session = AioSession(profile=options.profile)
            clients = {
                name: await stack.enter_async_context(
                    session.create_client(
                        name,
                        region_name=region,
                        endpoint_url=options.endpoint_url,
                        config=config,
                        aws_access_key_id=keys.get("aws_access_key_id"),
                        aws_secret_access_key=keys.get("aws_secret_access_key"),
                    )
                )
                for name in services
            }
        except NoRegionError:
            raise InputError(
                Problem(
                    "no AWS Region is set",
                    field="region",
                    remedy="set region in the graph file, --region or AWS_REGION",
                )
            ) from None
        except ProfileNotFound as error:
            raise InputError(
                Problem(str(error), field="--profile", remedy="see `aws configure list-profiles`")
            ) from None
        except ValueError as error:
            raise InputError(
                Problem(str(error), field="--endpoint-url", remedy="give a URL such as http://host")
            ) from None
        yield Aws(clients, options, random.random)


def _region_set() -> bool:
    return bool(os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"))
