"""The batch limit in the command line of an engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.model.dynamo.engine_limits import engine_limit
from tests.helpers.graphs import component


@pytest.mark.parametrize(
    ("command", "limit"),
    [
        (["python3", "-m", "dynamo.vllm", "--max-num-seqs", "64"], 64),
        (["python3", "-m", "dynamo.vllm", "--max-num-seqs=64", "--max-num-seqs=32"], 32),
        (["python3", "-m", "dynamo.vllm", "--max_num_seqs", "48"], 48),
        (["sh", "-c", "exec python3 -m dynamo.sglang --max-running-requests '24' --tp 2"], 24),
        (["python3", "-m", "dynamo.trtllm", "--max-batch-size", "128"], 128),
        (["python3", "-m", "dynamo.vllm", "--benchmark-max-batch-size", "128"], None),
        (["python3", "-m", "dynamo.vllm", "--max-num-seqs", "$SEQS"], None),
        (["python3", "-m", "dynamo.vllm", "--max-num-batched-tokens", "4096"], None),
    ],
)
def test_the_flags_of_each_engine(command: list[str], limit: float | None) -> None:
    template: Any = {"containerDefinitions": [{"name": "main", "command": command}]}
    assert engine_limit(replace(component("decode"), template=template)) == limit


def test_several_engines_in_one_task_add_up() -> None:
    containers = [
        {"name": f"e{n}", "command": ["python3", "-m", "dynamo.vllm", "--max-num-seqs", "8"]}
        for n in range(2)
    ]
    other = {"name": "tool", "command": ["tool", "--max-num-seqs", "500"]}
    template: Any = {"containerDefinitions": [*containers, other]}
    assert engine_limit(replace(component("decode"), template=template)) == 16
