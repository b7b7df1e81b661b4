"""Retries of the AWS client on a fake clock: how often, how long, and for which errors."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    UnknownServiceError,
)
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.aws.client import Aws, AwsOptions
from ecs_dynamo.common.backoff import Backoff
from ecs_dynamo.model.errors import AwsError

OPTIONS = AwsOptions(attempts=6, backoff=Backoff(first=0.4, longest=5.0), read_timeout=20.0)


class Service:
    """A client whose operation raises the errors in turn, and then answers."""

    def __init__(self, *errors: BaseException | float) -> None:
        self.errors = list(errors)
        self.called_at: list[float] = []
        model = SimpleNamespace(operation_model=lambda _: SimpleNamespace(output_shape=None))
        self.meta = SimpleNamespace(service_model=model)

    async def _answer(self, **_: Any) -> dict[str, Any]:
        self.called_at.append(asyncio.get_running_loop().time())
        if not self.errors:
            return {"taskArns": [], "taskDefinition": {}, "ResponseMetadata": {}}
        error = self.errors.pop(0)
        if isinstance(error, BaseException):
            raise error
        await asyncio.sleep(error)
        raise AssertionError("the attempt was not ended")

    list_tasks = register_task_definition = tag_resource = _answer

    @property
    def pauses(self) -> list[float]:
        return [round(b - a, 6) for a, b in zip(self.called_at, self.called_at[1:], strict=False)]


def refusal(code: str, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "ListTasks")


def aws_of(service: Service, jitter: float = 1.0) -> Aws:
    return Aws({"ecs": service}, OPTIONS, lambda: jitter)


@pytest.mark.looptime
@pytest.mark.parametrize(("jitter", "share"), [(1.0, 1.0), (0.0, 0.5), (0.5, 0.75)])
async def test_pauses_double_up_to_the_longest_and_vary_by_half(
    jitter: float, share: float
) -> None:
    service = Service(*[refusal("ThrottlingException")] * 5)
    await aws_of(service, jitter).call("ecs", "ListTasks", cluster="c")
    assert service.pauses == [round(share * p, 6) for p in (0.4, 0.8, 1.6, 3.2, 5.0)]


@pytest.mark.looptime
async def test_the_last_attempt_ends_with_its_error_and_every_attempt_is_counted() -> None:
    service = Service(*[refusal("ThrottlingException")] * OPTIONS.attempts)
    aws = aws_of(service)
    with pytest.raises(AwsError) as caught:
        await aws.call("ecs", "ListTasks", cluster="c")
    assert caught.value.code == "ThrottlingException"
    assert aws.last_error is caught.value
    assert aws.calls == {"ecs:ListTasks": OPTIONS.attempts}
    assert (aws.reads, aws.writes) == (OPTIONS.attempts, 0)


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (refusal("ServerException"), 2),
        (refusal("SomethingNew", status=503), 2),
        (EndpointConnectionError(endpoint_url="https://ecs"), 2),
        (ConnectTimeoutError(endpoint_url="https://ecs"), 2),
        (OSError("reset"), 2),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "invalid"), 2),
        (refusal("AccessDeniedException"), 1),
        (refusal("LimitExceededException"), 1),
        (refusal("ClientException"), 1),
        (NoCredentialsError(), 1),
        (UnknownServiceError(service_name="x", known_service_names=""), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_errors_that_may_pass_are_retried(error: Exception, attempts: int) -> None:
    service = Service(error)
    call = aws_of(service).call("ecs", "ListTasks", cluster="c")
    if attempts == 1:
        with pytest.raises(AwsError):
            await call
    else:
        await call
    assert len(service.called_at) == attempts


@pytest.mark.looptime
async def test_an_attempt_that_hangs_ends_and_is_repeated() -> None:
    service = Service(10_000.0)
    await aws_of(service).call("ecs", "ListTasks", cluster="c")
    assert service.pauses == [OPTIONS.call_timeout + 0.4]


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("operation", "attempts"), [("RegisterTaskDefinition", 1), ("TagResource", 2)]
)
async def test_a_call_without_answer_that_would_create_twice_is_not_repeated(
    operation: str, attempts: int
) -> None:
    service = Service(OSError("reset"))
    expected = pytest.raises(AwsError, match="Unreachable") if attempts == 1 else nullcontext()
    with expected:
        await aws_of(service).call("ecs", operation)
    assert len(service.called_at) == attempts


@given(st.integers(1, 200), st.floats(0.0, 1.0), st.floats(0.01, 10.0), st.floats(0.01, 1000.0))
def test_a_delay_is_within_half_of_its_bound(
    failures: int, jitter: float, first: float, longest: float
) -> None:
    backoff = Backoff(first, longest)
    delay = backoff.delay(failures, jitter)
    assert backoff.delay(failures) / 2 <= delay <= backoff.delay(failures) <= longest
    assert backoff.delay(failures) <= backoff.delay(failures + 1)


def test_the_next_delay_follows_the_previous_one() -> None:
    backoff = Backoff(1.0, 15.0)
    delays = [backoff.next(None)]
    for _ in range(5):
        delays.append(backoff.next(delays[-1]))
    assert delays == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert delays[:4] == [backoff.delay(failures) for failures in range(1, 5)]
