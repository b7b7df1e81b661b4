"""The benchmark of rollouts: what counts as routed capacity, its cases, and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.rollouts.__main__ import is_passed, options
from benchmarks.rollouts.case import Moment
from benchmarks.rollouts.cases import CASES, DECODE_HANGS, HANGS
from benchmarks.rollouts.graph import GraphFiles, Revision
from benchmarks.rollouts.observer import Worker, capacity, count
from benchmarks.rollouts.page import cells, page, waits
from benchmarks.rollouts.picture import draw, is_shown
from benchmarks.rollouts.run import CaseResult
from benchmarks.rollouts.stage import describe
from ecs_dynamo.config import load_graph

EXAMPLE = Path(__file__).parents[3] / "examples" / "local"


def result(**changes: Any) -> CaseResult:
    values: dict[str, Any] = {
        "sent": 100,
        "failed": 0,
        "retried": 1,
        "errors": (),
        "failures": (),
        "joining": 0,
        "lowest": {"prefill": 1, "decode": 1},
        "seconds": 40.0,
        "problem": None,
        "kept": 0,
        "starts": (2.0, 2.0, 2.0, 2.0),
        "drains": (1.0, 3.0, 1.0, 3.0),
        "events": ((0.0, "declared: block size 32"), (1.0, "daemon: CreateService x")),
        "samples": ((-0.1, {"0": {"decode": 2, "prefill": 2}}), (9.0, {"1": {"decode": 2}})),
        "revisions": ("the first revision", "block size 32"),
    }
    return CaseResult(**(values | changes))


def test_a_namespace_without_one_of_the_roles_has_no_capacity() -> None:
    old = [Worker("prefill", "a-g1", 0), Worker("decode", "a-g1", 0), Worker("decode", "a-g1", 0)]
    incomplete = [Worker("prefill", "a-g2", 1), Worker("prefill", "a-g2", 1)]
    assert capacity([*old, *incomplete]) == {"prefill": 1, "decode": 2}
    assert capacity(incomplete) == {"prefill": 0, "decode": 0}
    assert count([*old, *incomplete]) == {(0, "prefill"): 1, (0, "decode"): 2, (1, "prefill"): 2}


def test_every_case_declares_its_last_revision_and_its_steps_begin_at_the_start() -> None:
    for case in CASES.values():
        assert case.last in case.revisions
        assert case.steps[0][0] is Moment.START
        assert len(case.revisions) == len(set(map(describe, case.revisions)))


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_the_graph_files_of_a_case_are_valid_and_name_their_revision(
    case: Any, tmp_path: Path
) -> None:
    files = GraphFiles(EXAMPLE, tmp_path / "graph", case.replicas, case.first)
    for revision in (case.first, *case.declared):
        files.declare(revision)
        graph = load_graph(files.file, {}).graph
        for role in ("prefill", "decode"):
            component = graph.component(role)
            assert component.replicas == case.replicas
            (container,) = component.template["containerDefinitions"]
            assert revision.is_of(container, role)


def test_a_container_is_of_the_revision_whose_command_and_mark_it_has() -> None:
    fields = {
        "command": [HANGS.command("decode")],
        "environment": [{"name": "OTHER", "value": "x"}],
    }
    assert HANGS.is_of(fields, "decode")
    assert not HANGS.is_of(fields, "prefill")
    assert DECODE_HANGS.command("decode") == HANGS.command("decode")
    assert DECODE_HANGS.command("prefill").startswith("exec python3 -m dynamo.vllm")
    marked = Revision(block_size=32, mark="2", script=HANGS.script)
    assert not marked.is_of(fields, "decode")


def test_the_unavoidable_waits_are_a_drain_a_start_and_a_lease_for_each_replaced_worker() -> None:
    document = result().document()
    assert document["waits"] == 4 * (2.0 + 2.0 + 10)
    (*_, text) = waits({"block size, without room": document})
    assert "56 s in total, and twice that is 112 s. The case took 40 s." in text
    assert result(starts=()).waits is None


def test_the_page_has_the_numbers_the_failures_and_the_comparison() -> None:
    error = 'HTTP 503: {"message":"Not ready. Wait","code":503}'
    lost = result(failed=2, errors=((error, 2),), seconds=None, problem="not routed")
    text = page(
        {
            "cases": {"block size, without room": result().document()},
            "before": {
                "block size, without room": lost.document(),
                "4 workers on one host": {"notRun": "no host port"},
            },
        }
    )
    assert "| block size, without room | 100 | 0 | 1 | 1 | 0 | 40 |" in text
    assert "| block size, without room | 100 | 2 | 1 | 1 | 0 | did not end |" in text
    document = result(failed=1, joining=1, errors=((error, 1),)).document()
    joined = page({"cases": {"block size, with room": document}})
    assert "1 x HTTP 503 (Not ready). 1 of them at the moment at which" in joined
    assert "- **block size, without room**: 2 x HTTP 503 (Not ready); not routed." in text
    assert cells({"notRun": "no host port"})[-1] == "cannot run"
    assert text.index("## Results") < text.index("## Before")


def test_a_case_passes_if_it_ends_and_loses_only_requests_that_dynamo_cannot_survive() -> None:
    ordinary, hanging = CASES["block size, with room"], CASES["new decode workers hang"]
    failed = result(failed=1).document()
    assert is_passed(ordinary, result().document())
    assert not is_passed(ordinary, failed)
    assert is_passed(ordinary, result(failed=1, joining=1).document())
    assert is_passed(hanging, failed)
    assert not is_passed(hanging, result(seconds=None).document())
    assert not is_passed(ordinary, {"notRun": "no capacity"})


def test_the_picture_shows_services_and_faults(tmp_path: Path) -> None:
    draw(result().document(), tmp_path / "picture.png", "block size")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert is_shown("daemon: UpdateService local-decode desired 1")
    assert is_shown("host of an old worker terminated")
    assert not is_shown("daemon: TagResource local-decode")


def test_cases_are_selected_by_patterns(capsys: pytest.CaptureFixture[str]) -> None:
    names = [case.name for case in options(["--cases", "etcd*", "daemon*"]).selected]
    assert names == [
        "etcd moved halfway, with room",
        "etcd moved halfway, without room",
        "daemon killed halfway",
    ]
    with pytest.raises(SystemExit):
        options(["--cases", "nothing"])
    assert "no case has such a name" in capsys.readouterr().err
