"""Traces read from files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from ecs_dynamo.model.errors import InputError
from ecs_dynamo.simulate.traces.reading import load_trace


def test_traces_are_read_and_scaled(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    with gzip.open(path, "wt") as out:
        out.write("arrival_s,prompt_tokens,output_tokens\n2.5,10,20\n1.0,30,40\n")
    trace = load_trace(path)
    assert trace.name == "t"
    assert trace.arrivals.tolist() == [1.0, 2.5]
    assert trace.prompts.tolist() == [30, 10]
    triple = trace.scaled(3)
    assert len(triple) == 6
    assert (np.diff(triple.arrivals) >= 0).all()
    assert trace.scaled(1) is trace


def test_a_daemons_recording_is_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "graph.csv"
    path.write_text(
        "at,seconds,requests,prompt_tokens,output_tokens\n"
        "1000.0,10.0,5.0,500.0,50.0\n1010.0,10.0,0.0,0.0,0.0\n1030.0,10.0,2.0,40.0,8.0\n"
    )
    trace = load_trace(path)
    assert trace.arrivals.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 31.5, 36.5]
    assert trace.prompts.tolist() == [100.0] * 5 + [20.0] * 2
    assert trace.outputs.tolist() == [10.0] * 5 + [4.0] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no column arrival_s"),
        ("time,tokens\n1,2\n", "has no column"),
        ("arrival_s,prompt_tokens,output_tokens\n", "has no request"),
        ("arrival_s,prompt_tokens,output_tokens\n1,x,3\n", r":2: 1,x,3 are not numbers"),
        ("arrival_s,prompt_tokens,output_tokens\n1,2\n", "not numbers"),
        ("arrival_s,prompt_tokens,output_tokens\n-1,2,3\n", "out of range"),
        ("arrival_s,prompt_tokens,output_tokens\n1,nan,3\n", "out of range"),
        ("at,seconds,requests,prompt_tokens,output_tokens\n1,1,0,0,0\n", "has 0 requests"),
    ],
)
def test_invalid_traces_are_rejected(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        load_trace(path)


def test_unreadable_traces_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_trace(tmp_path / "none.csv")
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(b"not gzip")
    with pytest.raises(InputError, match="cannot be read"):
        load_trace(broken)
