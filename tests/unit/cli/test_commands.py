"""Commands as a user meets them: their files are valid, and their errors are clear."""

from __future__ import annotations

import contextlib
import io
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from ecs_dynamo.cli.main import main
from ecs_dynamo.console import (
    print_table,
    say,
)
from ecs_dynamo.demo.example import unpack_example


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Return the exit code and the output."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out + err


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Restore logging, which a command sets up for its process, here that of all tests."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUBNET_ID", "subnet-1")
    monkeypatch.setenv("SECURITY_GROUP_ID", "sg-1")
    return tmp_path


def test_what_init_writes_parses_and_a_missing_file_names_its_neighbours(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "init")[0] == 0
    (workdir / "taskdefs").mkdir()
    (workdir / "taskdefs" / "app.json").write_text("{}")
    code, text = run(capsys, "validate")
    assert code == 2
    assert "YAML" not in text
    assert "'taskdefs/etcd-nats.json' does not exist" in text
    assert "taskdefs has app.json" in text


def test_jsonnet_is_to_be_rendered_first(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workdir / "app.jsonnet").write_text("local tag = 1;\n{ family: 'x' }\n")
    code, text = run(capsys, "validate", "-f", "app.jsonnet")
    assert code == 2
    assert "render it first (jsonnet app.jsonnet > app.json)" in text


def test_local_says_that_its_port_is_taken(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "images.yaml").write_text("images: [{match: '*'}]")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, text = run(capsys, "local", "--images", "images.yaml", "--port", str(port))
    assert code == 2
    assert f"127.0.0.1:{port} is in use" in text
    assert "bug" not in text


def test_local_says_what_is_wrong_with_its_table(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "images.yaml").write_text("images: [{match: '*', replace: [['x(?i)y', 'z']]}]")
    code, text = run(capsys, "local", "--images", "images.yaml")
    assert code == 2
    assert "--images: images.yaml: images.0" in text
    assert run(capsys, "local", "--images", "absent.yaml")[0] == 2


def test_the_example_is_found_from_any_folder(workdir: Path) -> None:
    folder = unpack_example(workdir / "run" / "example")
    assert (folder / "images.yaml").is_file()
    assert (folder / "model" / "tokenizer.json").is_file()
    unpack_example(folder)  # An earlier copy does not matter.


def test_text_of_aws_is_printed_as_it_is() -> None:
    text = "arn:aws:secretsmanager:us-east-1:1:secret:dynamo [red]x[/red] :key:"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        print_table("[b]", ("CHECK",), [(text,)])
        say(text)
    assert printed.getvalue().count(text) == 2
    assert "[b]" in printed.getvalue()


def test_iam_render_takes_the_graphs_of_one_daemon(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files: list[Path] = []
    for name, region in (("a", "us-east-1"), ("b", "us-east-1"), ("c", "eu-west-1")):
        file = unpack_example(workdir / name) / "ecs-dynamo.yaml"
        text = re.sub(r"^name: .*$", f"name: {name}", file.read_text(), flags=re.M)
        file.write_text(re.sub(r"^region: .*$", f"region: {region}", text, flags=re.M))
        files.append(file)
    here = [w for file in files[:2] for w in ("-f", str(file))]
    account = ("--account", "123456789012")
    code, text = run(capsys, "iam", "render", *here, *account, "-o", "iam")
    assert (code, "documents" in text) == (0, True)
    policy = json.loads((workdir / "iam" / "daemon-task-role.json").read_text())
    (update,) = (s for s in policy["Statement"] if s["Sid"] == "ChangeOwnServices")
    assert update["Condition"] == {"Null": {"aws:ResourceTag/ecs-dynamo:graph": "false"}}
    code, text = run(capsys, "iam", "render", *here, "-f", str(files[2]), *account)
    assert code == 2
    assert f"eu-west-1 is not the Region of {files[0]}, us-east-1" in " ".join(text.split())
