"""The project's own text follows docs/style.md: phrases, starts of docstrings, identifiers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.style_checker import ROOT, START, Problem, checked_files, problems
from tests.unit.style_phrases import PHRASES, Phrase

PATH = re.compile(r"`((?:[\w.-]+/)*(?:[\w-]+\.py|[\w.-]+/))`")
"""A Python file, or a folder, as documents write it: from the root, or the end of the path."""
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#]*)#?([^)]*)\)")
TEMPLATES = {
    "benchmarks/chaos/HEAD.md",
    "benchmarks/rollouts/HEAD.md",
    "benchmarks/scaling/HEAD.md",
    "benchmarks/scaling/REASONS.md",
}
"""Their links are relative to the folder of the pages that are generated from them."""


def test_phrases_of_the_word_list_are_not_used() -> None:
    left = [str(p) for p in problems()]
    assert not left, "\n".join(["docs/style.md says why:", *left])


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda p: p.pattern[:30])
def test_each_pattern_finds_its_examples_and_nothing_else(phrase: Phrase) -> None:
    pattern = phrase.compiled()
    assert phrase.found
    assert [text for text in phrase.found if not pattern.search(text)] == []
    assert [text for text in phrase.allowed if pattern.search(text)] == []


def test_the_checker_names_file_line_phrase_and_replacement(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("It waits.\nIt can\nnot end.\n")
    (tmp_path / "module.py").write_text(
        '"""A module."""\n\nKEYS_A_CALL = 10\n"""What one call takes."""\n# A comment:\n'
        "# What follows is its second line.\nPAGES = 1  # Of one call.\n"
    )
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "copy.md").write_text("It can not end.\n")
    assert problems(tmp_path) == [
        Problem("docs/page.md", 2, "can not", "cannot"),
        Problem("module.py", 3, "KEYS_A_CALL", "..._PER_CALL"),
        Problem("module.py", 4, "What one call takes.", START),
        Problem("module.py", 7, "Of one call.", START),
    ]
    assert str(problems(tmp_path)[0]) == "docs/page.md:2: 'can not': write cannot"


def test_the_checker_reads_the_whole_project() -> None:
    checked = {p.relative_to(ROOT).as_posix() for p in checked_files()}
    assert {
        ".ci/run",
        "Makefile",
        "README.md",
        "docs/style.md",
        "ecs_dynamo/planning/planner.py",
        "examples/local/ecs-dynamo.yaml",
        "tests/unit/test_structure.py",
    } <= checked
    assert not any(path.startswith(".venv/") for path in checked)


@pytest.mark.parametrize("page", ["docs/style.md", "docs/design.md", "CONTRIBUTING.md"])
def test_paths_that_documents_name_exist(page: str) -> None:
    tops = [ROOT / top for top in ("ecs_dynamo", "tests", "benchmarks", "docs")]
    ends = {f"/{p.relative_to(ROOT).as_posix()}" for top in tops for p in (top, *top.rglob("*"))}
    named = [path.rstrip("/") for path in PATH.findall((ROOT / page).read_text())]
    assert named
    assert [name for name in named if not any(end.endswith(f"/{name}") for end in ends)] == []


def _anchors(page: Path) -> set[str]:
    """Names by which links reach the headings of ``page``, as GitHub forms them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for page in checked_files():
        name = page.relative_to(ROOT).as_posix()
        if page.suffix != ".md" or name in TEMPLATES:
            continue
        for path, anchor in LINK.findall(page.read_text()):
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in _anchors(target)):
                broken.append(f"{name}: {path}#{anchor}")
    assert not broken
