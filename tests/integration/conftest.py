"""The stack that integration tests run on: LocalStack where one answers, else the local ECS.

Real etcd, NATS and Dynamo (its mock engine) run as the containers of the local ECS.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

import pytest

from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.runtime import ImageTable
from ecs_dynamo.local.state import ACCOUNT
from ecs_dynamo.planning.iam import render_iam
from tests.integration.stack import EXAMPLE, RenderedRights, Stack
from tests.rights.record import Documents, Recorder, Right, Session
from tests.unit.planning.test_iam import widest


def localstack_url() -> str | None:
    """The endpoint of a LocalStack with ECS that answers now; None where there is none."""
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
    """The example's model, built once."""
    target = EXAMPLE / "model"
    subprocess.run(
        [sys.executable, str(EXAMPLE / "build_model.py"), str(target)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return target


WHOLE_SUITE = Path(__file__).parent
SESSION = Session()
NEVER_HERE: set[Right] = {
    # doctor looks as the daemon does: at protection while a service rolls or scales in, and for
    # revisions where a family has more than are kept.
    ("doctor.json", "ReadInClusters", "ecs:GetTaskProtection"),
    ("doctor.json", "ReadWhatHasNoResource", "ecs:ListTaskDefinitions"),
}
"""Rights that no test uses, and that are needed all the same."""


@pytest.fixture(scope="session", autouse=True)
def no_right_is_unused(request: pytest.FixtureRequest) -> Iterator[None]:
    """Over the whole suite, each right of each statement allowed some call: of the tests' graphs,
    and of one that declares everything that needs rights."""
    SESSION.grant(render_iam(widest(), "us-east-1", ACCOUNT, "leases", "events"))
    yield
    ran = {Path(str(item.fspath)) for item in request.session.items}
    chosen = any(request.config.getoption(name) for name in ("keyword", "markexpr"))
    whole = set(WHOLE_SUITE.glob("test_*.py")) <= ran and not chosen
    if whole and not request.session.testsfailed and localstack_url() is None:
        unused = set(SESSION.unused) - NEVER_HERE
        assert not unused, f"allowed by a rendered policy but never used: {sorted(unused)}"
        assert set(SESSION.unused) >= NEVER_HERE, "NEVER_HERE lists what is used"


@pytest.fixture
def judged() -> Iterator[Callable[[LocalEcs, Callable[[], Iterable[Documents]]], None]]:
    """Have the product's calls on a local ECS judged by policies; one denied fails the test."""
    recorders: list[Recorder] = []

    def judge(local: LocalEcs, rendered: Callable[[], Iterable[Documents]]) -> None:
        recorders.append(Recorder(local, SESSION, rendered))

    yield judge
    denied = sorted({text for recorder in recorders for text in recorder.denied})
    assert not denied, "denied by the rendered policies:\n" + "\n".join(denied)


@pytest.fixture
async def stack(
    tiny_model: Path, tmp_path: Path, judged: Callable[..., None]
) -> AsyncIterator[Stack]:
    """A stack of its own for each test, with the example graph's files to edit."""
    if (url := localstack_url()) is not None:
        yield Stack.on(url, tmp_path)
        return
    table = ImageTable.load(EXAMPLE / "images.yaml")
    async with LocalEcs(images=table, directory=tmp_path / "ecs") as local:
        made = Stack.on(local.endpoint_url, tmp_path, local)
        judged(local, RenderedRights(made, SESSION))
        for cluster in ("dynamo-fargate", "dynamo-GPU"):
            local.create_cluster(cluster)
        for _ in range(4):
            await local.add_instance("dynamo-GPU")
        yield made
