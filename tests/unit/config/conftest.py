"""Fixtures of the tests of graph files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.graph_files import copy_example


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example graph."""
    return copy_example(tmp_path / "graph")
