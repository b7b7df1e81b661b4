"""The options of `ecs-dynamo simulate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecs_dynamo.cli.main import app
from ecs_dynamo.cli.simulate import GENERATED, INSTANCES
from ecs_dynamo.simulate.fleet.billing import INSTANCE_TYPES
from ecs_dynamo.simulate.traces.families import GENERATORS


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    rows = [f"{0.5 * i},1000,{100 + i % 50}" for i in range(1200)]
    path.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *rows]) + "\n")
    return path


def test_all_generated_traces_and_instance_types_are_offered() -> None:
    assert tuple(GENERATORS) == GENERATED
    assert tuple(INSTANCE_TYPES) == INSTANCES


def test_policies_run_with_latency_targets_and_whole_instances(trace: Path) -> None:
    arguments = "-p slo -p fixed -p clairvoyant --target-ttft 5 --target-itl 0.04 --seeds 2"
    fleet = (
        "--instance g6.12xlarge --kv-tokens 0 --cached-share 0.5 --dispatch pull --decode-gpus 2"
    )
    command = ["simulate", str(trace), *arguments.split(), *fleet.split(), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["policy"].split()[0] for row in rows] == ["slo", "fixed", "clairvoyant"]
    for row in rows:
        assert 0 < row["goodput"] <= row["attainment"]
        assert row["dollars"] == pytest.approx(row["instance_hours"] * 4.6016)
        assert "50 % of the prompt tokens cached" in row["fleet"]


def test_settings_are_recommended_with_their_targets(trace: Path) -> None:
    command = ["simulate", str(trace), "--recommend", "--target-ttft", "5"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "targetTtftSeconds: 5" in result.output
    assert "targetItlSeconds" not in result.output


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--instance", "t3.nano", "write one of g6.xlarge"),
        ("--dispatch", "random", "write one of push, pull"),
    ],
)
def test_unknown_values_are_rejected(trace: Path, option: str, value: str, words: str) -> None:
    result = CliRunner().invoke(app, ["simulate", str(trace), option, value])
    assert result.exit_code != 0
    assert words in result.output + str(result.exception)
