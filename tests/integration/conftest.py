"""The stack of integration tests: LocalStack if one answers, otherwise the local ECS.

Real etcd, NATS and Dynamo (its mock engine) run as the containers of the local ECS.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.runtime import ImageTable
from tests.integration.stack import EXAMPLE, RenderedRights, Stack
from tests.rights.record import SESSION, Documents, Recorder


def localstack_url() -> str | None:
    """Return the endpoint of a LocalStack with ECS that answers, or None."""
    from localstack_client.config import get_service_endpoint

    url = str(get_service_endpoint("ecs"))
    try:
        with urllib.request.urlopen(f"{url}/_localstack/health", timeout=0.5) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    return url if '"ecs": "' in text and '"ecs": "disabled"' not in text else None


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """The example's model, built once for all processes that run tests."""
    target = EXAMPLE / "model"
    script = EXAMPLE / "build_model.py"
    with script.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = target / "config.json"
        if not built.exists() or built.stat().st_mtime < script.stat().st_mtime:
            subprocess.run(
                [sys.executable, str(script), str(target)],
                check=True,
                stdout=subprocess.DEVNULL,
            )
    return target


@pytest.fixture
def judged() -> Iterator[Callable[[LocalEcs, Callable[[], Iterable[Documents]]], None]]:
    """Check the product's calls on a local ECS against policies; a denied call fails the test."""
    recorders: list[Recorder] = []

    def judge(local: LocalEcs, rendered: Callable[[], Iterable[Documents]]) -> None:
        recorders.append(Recorder(local, SESSION, rendered))

    yield judge
    denied = sorted({text for recorder in recorders for text in recorder.denied})
    assert not denied, "denied by the rendered policies:\n" + "\n".join(denied)


@asynccontextmanager
async def local_stack(tmp_path: Path, judged: Callable[..., None]) -> AsyncIterator[Stack]:
    """A stack on a local ECS of its own, with the example's clusters and no instances."""
    table = ImageTable.load(EXAMPLE / "images.yaml")
    async with LocalEcs(images=table, directory=tmp_path / "ecs") as local:
        result = Stack.on(local.endpoint_url, tmp_path, local)
        judged(local, RenderedRights(result, SESSION))
        for cluster in ("dynamo-fargate", "dynamo-GPU"):
            local.create_cluster(cluster)
        yield result


@pytest.fixture
async def stack(
    tiny_model: Path, tmp_path: Path, judged: Callable[..., None]
) -> AsyncIterator[Stack]:
    """A separate stack for each test, with the example graph's files to edit."""
    if (url := localstack_url()) is not None:
        yield Stack.on(url, tmp_path)
        return
    async with local_stack(tmp_path, judged) as result:
        for _ in range(4):
            await result.local.add_instance("dynamo-GPU")
        yield result
