"""Files stay short, folders narrow and import levels few (docs/style.md, "Structure")."""

from __future__ import annotations

import ast
from graphlib import CycleError
from pathlib import Path

import pytest

from tests.unit.import_levels import import_edges, levels
from tests.unit.style_checker import ROOT

CODE = ROOT / "ecs_dynamo"
MAX_LINES = 400
MAX_FILES = 12
"""Maximum number of modules of a folder, beside its `__init__.py`."""
REASON = "More than 12 files"
"""Start of the sentence in the docstring of a wider folder that gives the reason."""
MAX_LEVELS = 8
"""Maximum number of import levels among the entries of a package."""
PLANNING_LEVELS = 6


def _folders() -> list[Path]:
    return [CODE, *(p for p in sorted(CODE.rglob("*")) if (p / "__init__.py").is_file())]


@pytest.mark.parametrize("top", ["ecs_dynamo", "tests", "benchmarks", "examples"])
def test_no_file_is_too_long(top: str) -> None:
    lengths = {
        p.relative_to(ROOT).as_posix(): len(p.read_text().splitlines())
        for p in (ROOT / top).rglob("*.py")
    }
    assert lengths
    long = {name: lines for name, lines in lengths.items() if lines > MAX_LINES}
    assert not long, f"more than {MAX_LINES} lines: a file that grows holds two ideas: {long}"


def test_no_folder_is_too_wide_without_a_reason() -> None:
    wide = {}
    for folder in _folders():
        count = sum(p.name != "__init__.py" for p in folder.glob("*.py"))
        doc = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        name = folder.relative_to(CODE).as_posix()
        if count > MAX_FILES and REASON not in doc:
            wide[name] = count
    assert not wide, f"divide the folder, or give the reason ({REASON!r}) in its docstring: {wide}"


@pytest.mark.parametrize("package", _folders(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_lie_on_few_levels_and_have_no_cycle(package: Path) -> None:
    level = levels(import_edges(package, ROOT))
    most = PLANNING_LEVELS if package.name == "planning" else MAX_LEVELS
    assert max(level.values(), default=0) <= most, sorted((n, name) for name, n in level.items())


def test_levels_follow_the_longest_path(tmp_path: Path) -> None:
    package = tmp_path / "app" / "core"
    (package / "base").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "base/__init__.py": "from app.core.base import inner",
        "base/inner.py": "import os",
        "middle.py": "def f():\n    from app.core.base.inner import os",
        "top.py": "from . import middle\nfrom app.core import base",
    }.items():
        (package / name).write_text(text)
    edges = import_edges(package, tmp_path)
    assert edges == {"base": set(), "middle": {"base"}, "top": {"middle", "base"}}
    assert levels(edges) == {"base": 1, "middle": 2, "top": 3}
    (package / "base" / "inner.py").write_text("import app.core.top")
    with pytest.raises(CycleError):
        levels(import_edges(package, tmp_path))
