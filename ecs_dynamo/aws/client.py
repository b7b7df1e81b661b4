"""One door to AWS: every call goes through its API family's token bucket, with our retries alone.

botocore's own retries are off, so that attempts are counted, bounded and visible in one place. The
price is that this module must know which errors are worth another try.
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

from ecs_dynamo.aws.required_members import missing_part
from ecs_dynamo.aws.response_types import wrong_type
from ecs_dynamo.aws.server_clock import ServerClock
from ecs_dynamo.aws.session import BoundedSession
from ecs_dynamo.aws.write_guard import write_seconds_left
from ecs_dynamo.common.backoff import Backoff
from ecs_dynamo.model.errors import AwsError, InputError, Problem

_log = structlog.get_logger(__name__)

READ_PREFIXES = ("Describe", "List", "Get", "Simulate")
THROTTLES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",  # DynamoDB: the table of the lease.
        "RequestLimitExceeded",  # EC2, EC2 Auto Scaling.
        "RequestThrottled",  # SQS.
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Codes with which AWS's services throttle: those that botocore's standard retry mode knows, but
``LimitExceededException``, which ECS gives for a quota that no retry helps against, and those of
transactions."""
CONCURRENT_REVISIONS = "Too many concurrent attempts to create a new revision"
"""ECS answers RegisterTaskDefinition so, with a ClientException like a refusal for good, while
another revision of the family is being registered."""
ONCE = frozenset({"RegisterTaskDefinition"})
"""Operations without a client token that create something new on every call. If no answer arrives,
the call may have taken effect, so it is not retried here: the caller checks first."""
NO_ANSWER = frozenset({"Unreachable", "BadAnswer"})
"""Codes of `AwsError` that leave it open whether the call took effect."""
TRANSIENT = frozenset({"ServerException", "InternalFailure", "InternalError", "ServiceUnavailable"})

# (burst, sustained per second) by API family, after the ECS API reference, "Request throttling":
# buckets are kept at what ECS grants to reads and modifications of a family, per account and
# Region; EC2's describes have their own bucket (EC2 API reference, "Request throttling").
BUCKETS: Mapping[str, tuple[float, float]] = {
    "cluster-read": (50, 20),
    "service-read": (100, 20),
    "service-modify": (50, 5),
    "task-read": (100, 40),
    "task-modify": (100, 40),
    "task-definition-read": (100, 20),
    "task-definition-modify": (20, 1),
    "container-instance-read": (100, 40),
    "tags": (20, 10),
    "ec2-read": (50, 10),
    "other": (20, 5),
}

_FAMILIES = (
    ("TaskDefinition", "task-definition"),
    ("Service", "service"),
    ("ContainerInstance", "container-instance"),
    ("Cluster", "cluster"),
    ("Task", "task"),
)


def is_write(operation: str) -> bool:
    """Whether an operation (``UpdateService``) changes anything."""
    return not operation.startswith(READ_PREFIXES)


def bucket_of(service: str, operation: str) -> str:
    """The token bucket that an operation takes from."""
    if service == "ec2":
        return "ec2-read"
    if "Tag" in operation:
        return "tags"
    if service == "ecs":
        for word, family in _FAMILIES:
            if word in operation:
                name = f"{family}-{'modify' if is_write(operation) else 'read'}"
                return name if name in BUCKETS else "other"
    return "other"


@dataclass(frozen=True, slots=True)
class AwsOptions:
    """How to reach AWS; None means as the AWS CLI would. Times are seconds.

    ``command`` is told in the User-Agent, so that CloudTrail tells a person's from the daemon's.
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
        """Seconds that one attempt may take, whatever dribbles in meanwhile."""
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
    """Dummy credentials for a local stack where nothing is set; else botocore's own chain."""
    if (
        _is_local(options.endpoint_url)
        and options.profile is None
        and not {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"} & environ.keys()
    ):
        return {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return {}


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
        """The last failed attempt; tells why a look ran out of time."""

    @property
    def writes(self) -> int:
        """Attempts at operations that change something."""
        return sum(n for name, n in self.calls.items() if is_write(name.split(":")[1]))

    @property
    def reads(self) -> int:
        """Attempts at operations that change nothing."""
        return self.calls.total() - self.writes

    async def call(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """Make one call, e.g. ``call("ecs", "DescribeServices", cluster=...)``.

        Retries throttling, server errors and broken connections with jittered, bounded back-off,
        and reads whose answer lacks what it must contain (`aws.expected`).
        A call that timed out may have taken effect: callers of writes must be able to bear that.
        A write is attempted only while `write_guard` allows it.
        Raises `AwsError`.
        """
        method = getattr(self._clients[service], xform_name(operation))
        bucket = self._buckets[bucket_of(service, operation)]
        started = time.monotonic()
        attempt = 0
        failure: AwsError | None = None
        while True:
            attempt += 1
            async with bucket:
                left = write_seconds_left() if is_write(operation) else inf
                if left <= 0:
                    raise AwsError(
                        operation,
                        "LeaseLost",
                        "not sent: this daemon no longer holds the lease on the graph"
                        + (f" (attempt {attempt - 1}: {failure})" if failure else ""),
                    )
                self.calls[f"{service}:{operation}"] += 1
                asked = self.clock.monotonic()
                try:
                    # Each wait for more is bounded by read_timeout; all of them together here.
                    async with asyncio.timeout(min(self._options.call_timeout, left)):
                        answer: dict[str, Any] = await method(**parameters)
                    if wrong := self._wrong_type(service, operation, answer):
                        raise _BadAnswerError(f"{wrong} is not what the service declares")
                    lacking = missing_part(service, operation, parameters, answer)
                    if lacking is None:
                        self.clock.observe(asked, answer)
                        return answer
                    failure = AwsError(operation, "BadAnswer", lacking)
                    # A write may have taken effect: the next pass looks before it repeats it.
                    again = not is_write(operation)
                except ClientError as error:
                    failure = _from_client_error(operation, error)
                    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                    again = _passes(failure) or status >= 500
                except (BotoConnectionError, HTTPClientError, TimeoutError, OSError) as error:
                    where = self._options.endpoint_url or "AWS"
                    failure = AwsError(operation, "Unreachable", f"{where}: {error}")
                    again = True
                except ResponseParserError:
                    # What stands between (a proxy, a load balancer) answered in its own words.
                    failure = AwsError(operation, "BadAnswer", "the answer is not AWS's")
                    again = True
                except (NoCredentialsError, PartialCredentialsError) as error:
                    raise AwsError(
                        operation, "NoCredentials", f"{error}; configure them as for the AWS CLI"
                    ) from None
                except BotoCoreError as error:
                    raise AwsError(operation, type(error).__name__, str(error)) from None
                except Exception as error:
                    # botocore's parsers raise whatever a body makes them trip over: text that is
                    # not UTF-8, values of another type, times of no year, nesting without end.
                    said = str(error) if isinstance(error, _BadAnswerError) else ""
                    failure = AwsError(
                        operation,
                        "BadAnswer",
                        f"the answer cannot be read: {said or type(error).__name__}",
                    )
                    again = True
            if operation in ONCE and failure.code in NO_ANSWER:
                again = False
            self.last_error = failure
            if not again or attempt >= self._options.attempts:
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

    def _wrong_type(self, service: str, operation: str, answer: dict[str, Any]) -> str | None:
        model = self._clients[service].meta.service_model.operation_model(operation)
        return wrong_type(model.output_shape, answer) if model.output_shape is not None else None


class _BadAnswerError(Exception):
    """An answer that botocore has taken and that is still none of the service's."""


def _passes(failure: AwsError) -> bool:
    """Whether the error says that the call may succeed a moment later."""
    if failure.code in THROTTLES | TRANSIENT:
        return True
    return failure.code == "ClientException" and CONCURRENT_REVISIONS in str(failure)


def _from_client_error(operation: str, error: ClientError) -> AwsError:
    details = error.response.get("Error", {})
    return AwsError(
        operation,
        str(details.get("Code", "Unknown")),
        str(details.get("Message", error)),
        error.response.get("Item"),  # type: ignore[arg-type]  # botocore types no service's extras
    )


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
