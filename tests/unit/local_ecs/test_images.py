"""The image table: selection of entries, rewriting of commands, and errors of invalid tables."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ecs_dynamo.local.runtime import (
    CannotPullContainerError,
    ContainerLaunch,
    HealthCheck,
    ImageTable,
    ImageTableError,
)

EXAMPLE = Path(__file__).parents[3] / "examples" / "local" / "images.yaml"
IP = "127.64.0.10"


def table(tmp_path: Path, text: str) -> ImageTable:
    path = tmp_path / "images.yaml"
    path.write_text(text, encoding="utf-8")
    return ImageTable.load(path)


def words(images: ImageTable, container: ContainerLaunch) -> tuple[str, ...]:
    return images.resolve(container, IP, Path("/scratch")).words


@pytest.mark.parametrize(
    "image",
    [
        "registry:5000/team/app",
        "registry:5000/team/app:1.2",
        "registry:5000/team/app@sha256:00",
        "registry:5000/team/app:1.2@sha256:00",
    ],
)
def test_tag_and_digest_do_not_matter(tmp_path: Path, image: str) -> None:
    images = table(tmp_path, "images: [{match: 'registry:5000/team/app', command: [run]}]")
    assert words(images, ContainerLaunch("c", image)) == ("run",)


def test_the_first_match_is_used_and_a_tag_can_be_matched(tmp_path: Path) -> None:
    images = table(
        tmp_path, "images: [{match: 'app:2*', command: [new]}, {match: app, command: [old]}]"
    )
    assert words(images, ContainerLaunch("c", "app:2.1")) == ("new",)
    assert words(images, ContainerLaunch("c", "app:1.9")) == ("old",)


def test_a_mount_path_becomes_the_volumes_folder_and_no_rule_changes_it(tmp_path: Path) -> None:
    images = table(
        tmp_path, r"images: [{match: app, replace: [['/data\b.*', gone]], defaults: [--dir=d]}]"
    )
    container = ContainerLaunch(
        "c",
        "app",
        command=("run", "/data/a", "--dir=/data", "/database", "x/data"),
        environment={"STORE": "/data", "OTHER": "/data2"},
        mounts=(("/data", Path("/efs/fs-1")),),
    )
    command = images.resolve(container, IP, Path("/scratch"))
    assert command.words == ("run", "/efs/fs-1/a", "--dir=/efs/fs-1", "/database", "xgone")
    assert command.environment == {"STORE": "/efs/fs-1", "OTHER": "/data2"}


def test_defaults_are_added_unless_the_command_sets_them(tmp_path: Path) -> None:
    images = table(tmp_path, "images: [{match: app, defaults: [--a=1, --b=2]}]")
    launch = ContainerLaunch("c", "app", command=("run", "--b", "9"))
    assert words(images, launch) == ("run", "--b", "9", "--a=1")


def test_an_unknown_image_cannot_be_pulled(tmp_path: Path) -> None:
    images = table(tmp_path, "images: [{match: app}]")
    with pytest.raises(CannotPullContainerError, match=r"CannotPullContainerError.*other:1"):
        words(images, ContainerLaunch("c", "other:1"))


def test_the_command_and_the_entry_point_replace_the_images_own(tmp_path: Path) -> None:
    images = table(
        tmp_path, "images: [{match: app, entrypoint: [e], command: ['{ip}'], args: [a]}]"
    )
    assert words(images, ContainerLaunch("c", "app")) == ("e", IP, "a")
    assert words(images, ContainerLaunch("c", "app", command=("mine",))) == ("e", "mine", "a")
    # As in Docker, an entry point of the task definition also drops the image's command.
    assert words(images, ContainerLaunch("c", "app", entry_point=("sh",))) == ("sh", "a")


def test_an_image_without_a_command_runs_nothing(tmp_path: Path) -> None:
    images = table(tmp_path, "images: [{match: app, args: [a]}]")
    assert words(images, ContainerLaunch("c", "app")) == ()


def test_placeholders_and_groups_are_replaced(tmp_path: Path) -> None:
    images = table(
        tmp_path,
        "images: [{match: app, replace: [['--model (\\S+)', '--model-path {here}/\\1']],"
        " args: ['{ip}', '{scratch}/x', '{python}', '${HOME}']}]",
    )
    assert words(images, ContainerLaunch("c", "app", command=("go --model a.b",))) == (
        f"go --model-path {tmp_path.resolve()}/a.b",
        IP,
        "/scratch/x",
        sys.executable,
        "${HOME}",
    )


def test_the_task_definitions_environment_takes_precedence_and_can_be_unset(tmp_path: Path) -> None:
    images = table(
        tmp_path, "images: [{match: app, env: {A: '{ip}', B: table}, unset: ['GONE_*']}]"
    )
    launch = ContainerLaunch("c", "app", environment={"B": "task", "GONE_X": "1"})
    assert images.resolve(launch, IP, Path("/s")).environment == {"A": IP, "B": "task"}


def test_localhost_becomes_the_tasks_address_and_similar_addresses_do_not() -> None:
    images = ImageTable.load(EXAMPLE)
    launch = ContainerLaunch(
        "c",
        "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.3.1",
        command=("python3 -m dynamo.frontend --http-host 0.0.0.0",),
        environment={"ETCD_ENDPOINTS": "http://127.0.0.12:2379", "X": "http://127.0.0.1:80"},
        health_check=HealthCheck(("CMD-SHELL", "curl -f http://localhost:8000/live")),
    )
    command = images.resolve(launch, IP, Path("/s"))
    assert command.words == (f"{sys.executable} -m dynamo.frontend --http-host {IP}",)
    assert command.environment["ETCD_ENDPOINTS"] == "http://127.0.0.12:2379"
    assert command.environment["X"] == f"http://{IP}:80"
    assert command.health == ("CMD-SHELL", f"curl -f http://{IP}:8000/live")


def vllm_worker(options: str, **environment: str) -> ContainerLaunch:
    """A production worker as its task definition declares it."""
    return ContainerLaunch(
        "c",
        "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.3.1",
        entry_point=("sh", "-c"),
        command=(
            "cd examples/backends/vllm && python3 -m dynamo.vllm --model Qwen/Qwen3-0.6B "
            f"{options}",
        ),
        environment=environment,
    )


def test_a_production_worker_becomes_a_mock_engine() -> None:
    images = ImageTable.load(EXAMPLE)
    launch = vllm_worker("--enforce-eager --disaggregation-mode prefill")
    shell, option, line = words(images, launch)
    assert (shell, option) == ("sh", "-c")
    assert line.startswith(f"{sys.executable} -m dynamo.mocker ")
    assert line.endswith(
        f"--model-path {EXAMPLE.parent.resolve()}/model --model-name tiny"
        " --disaggregation-mode prefill"
    )


@pytest.mark.parametrize(
    ("options", "mock_options"),
    [
        ("--block-size 32 --max-model-len 4096", "--block-size 32 --max-model-len 4096"),
        ("--block-size=32 --max-model-len=4k", "--block-size=32 --max-model-len=$((4 * 1000))"),
        (
            "--block-size $BLOCK_SIZE --max-model-len 4K",
            "--block-size $BLOCK_SIZE --max-model-len $((4 * 1024))",
        ),
        ("--dtype bfloat16 --tensor-parallel-size=2 --block-size 32", "--block-size 32"),
        ("""--kv-transfer-config '{"kv_role": "kv_both"}' --block-size 32""", "--block-size 32"),
        ("""--kv-events-config '{"enable_kv_cache_events": true}' --trust-remote-code""", ""),
        ("--dyn-tool-call-parser hermes --dyn-reasoning-parser qwen3", ""),
    ],
)
def test_the_mock_engine_takes_what_the_model_card_is_made_of(
    options: str, mock_options: str
) -> None:
    images = ImageTable.load(EXAMPLE)
    *_, line = words(images, vllm_worker(f"--disaggregation-mode decode {options}"))
    _, _, after = line.partition("--disaggregation-mode decode")
    assert after.strip() == mock_options


def test_the_variables_of_a_workers_generation_are_passed_on() -> None:
    names = {"DYN_NAMESPACE": "qwen", "DYN_NAMESPACE_WORKER_SUFFIX": "g1a2b3c4d"}
    command = ImageTable.load(EXAMPLE).resolve(vllm_worker("", **names), IP, Path("/scratch"))
    assert names.items() <= command.environment.items()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("images: []", "images"),
        ("images: [{command: [x]}]", r"images\.0\.match"),
        ("images: [{match: a, comand: [x]}]", r"images\.0\.comand"),
        ("images: [{match: a, replace: [['(', 'x']]}]", r"images\.0 \(a\): replace: '\('"),
        ("images: [{match: a, replace: [['b', '\\1']]}]", "group reference"),
        ("images: [{match: a, args: ['{adress}']}]", r"unknown placeholder \{adress\}"),
        ("images: [", "images.yaml"),
        ("", "table"),
    ],
)
def test_the_error_of_an_invalid_table_names_the_problem(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ImageTableError, match=message):
        table(tmp_path, text)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageTableError, match=r"nowhere\.yaml"):
        ImageTable.load(tmp_path / "nowhere.yaml")
