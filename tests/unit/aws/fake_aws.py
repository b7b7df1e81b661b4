"""AWS at the client's edge: what `Aws` is given to call, with answers that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel

from ecs_dynamo.aws.client import Aws, AwsOptions
from ecs_dynamo.common.backoff import Backoff

Answer = Callable[..., Any]


@cache
def service_model(service: str) -> ServiceModel:
    """botocore's own model of a service."""
    return ServiceModel(Loader().load_service_model(service, "service-2"))


class FakeClient:
    """A service's client; ``operations`` by their API names."""

    def __init__(self, service: str, operations: Mapping[str, Answer]) -> None:
        self.meta = SimpleNamespace(service_model=service_model(service))
        for name, answer in operations.items():
            setattr(self, xform_name(name), self._method(answer))

    @staticmethod
    def _method(answer: Answer) -> Callable[..., Any]:
        async def method(**parameters: Any) -> Any:
            return answer(**parameters)

        return method


def fake_aws(
    attempts: int = 1,
    services: Mapping[str, Mapping[str, Answer]] | None = None,
    **more: Mapping[str, Answer],
) -> Aws:
    """An `Aws` whose services give prepared answers, without any pause between attempts."""
    clients = {name: FakeClient(name, item) for name, item in {**(services or {}), **more}.items()}
    return Aws(clients, AwsOptions(attempts=attempts, backoff=Backoff(0.0, 0.0)), lambda: 0.0)
