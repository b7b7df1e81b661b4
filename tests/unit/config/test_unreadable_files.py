"""Files that cannot be read, or that contain anything: an error with the file, never a crash."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecs_dynamo.config import load_graph
from ecs_dynamo.model.errors import InputError
from tests.helpers.graph_files import EXAMPLE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "mapping"),
        ("- a\n- b\n", "mapping"),
        ("name: [unclosed\n", "YAML"),
        ("name: a\nname: b\n", "name"),
        ("a: &x [*x]\n", None),
        ("\x00", None),
        ("name: !!python/object:os.system {}\n", None),
    ],
)
def test_what_is_not_a_graph_file_is_refused(tmp_path: Path, text: str, words: str | None) -> None:
    path = tmp_path / "graph.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        load_graph(path, {})
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "graph.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x80\x81")
    with pytest.raises(InputError, match=r"graph\.yaml"):
        load_graph(path, {})


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
PLACES = st.sampled_from(
    [
        *("name", "region", "variables", "tags", "clusters", "network", "infrastructure"),
        *("runtime", "components", "components.0", "components.2.scaling", "extra"),
    ]
)


@given(place=PLACES, junk=JUNK)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_junk_is_a_crash(folder: Path, place: str, junk: Any) -> None:
    """Any content of the file is accepted or refused with a problem."""
    document = yaml.safe_load((EXAMPLE / "ecs-dynamo.yaml").read_text())
    *parents, last = place.split(".")
    inner: Any = document
    for key in parents:
        inner = inner[int(key)] if key.isdigit() else inner[key]
    if isinstance(inner, list):
        inner[int(last)] = junk
    else:
        inner[last] = junk
    path = folder / "junk.yaml"
    path.write_text(yaml.safe_dump(document))
    with suppress(InputError):
        load_graph(path, {})


@given(st.text(max_size=300))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_text_is_a_crash(tmp_path: Path, text: str) -> None:
    path = tmp_path / "text.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(InputError):
        load_graph(path, {})
