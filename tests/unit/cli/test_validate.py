"""`validate` compares several graph files with each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import yaml

from ecs_dynamo.cli.main import main
from tests.helpers.graph_files import EXTERNAL_ETCD, copy_example


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Restore logging, which a command sets up for its process, here that of all tests."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def write(folder: Path, name: str, *, external: bool = True) -> str:
    """Write the example under another name; return the path of its file."""
    file = copy_example(folder / name) / "ecs-dynamo.yaml"
    document = yaml.safe_load(file.read_text())
    document["name"] = name
    if external:
        nats = {"nats": {"endpoints": ["nats://127.0.0.1:4222"]}}
        document["infrastructure"] = EXTERNAL_ETCD | nats
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return str(file)


def validate(
    capsys: pytest.CaptureFixture[str], *files: str, as_json: bool = False
) -> tuple[int, str]:
    arguments = [word for file in files for word in ("-f", file)]
    with pytest.raises(SystemExit) as ended:
        main(["validate", *arguments, *(["--json"] if as_json else [])])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out if as_json else " ".join((out + err).split())


def test_graphs_whose_frontends_would_serve_each_others_workers_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path, "qwen"), write(tmp_path, "qwen-gpu")
    code, text = validate(capsys, *files)
    assert code == 2
    assert "namespace: the frontends of qwen serve every namespace that starts with qwen-g" in text
    assert "remedy: set another namespace" in text
    assert [validate(capsys, file)[0] for file in files] == [0, 0]


def test_graphs_that_may_use_one_etcd_are_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path, "qwen", external=False), write(tmp_path, "qwen-gpu")
    code, text = validate(capsys, *files)
    assert (code, "if both graphs use one etcd, the frontends of qwen" in text) == (0, True)
    code, text = validate(capsys, *files, as_json=True)
    document = json.loads(text)
    assert [graph["graph"] for graph in document["graphs"]] == ["qwen", "qwen-gpu"]
    assert len(document["warnings"]) == 1


def test_the_document_of_one_graph_file_keeps_its_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = validate(capsys, write(tmp_path, "qwen"), as_json=True)
    assert code == 0
    assert set(json.loads(text)) == {"valid", "graph", "components", "warnings", "files"}


def test_the_problems_of_all_files_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = validate(capsys, str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml"))
    assert code == 2
    assert "one.yaml" in text
    assert "two.yaml" in text
