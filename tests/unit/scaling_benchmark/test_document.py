"""The page of the scaling benchmark, with results that are written down."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks.scaling import __main__ as program
from benchmarks.scaling import document
from benchmarks.scaling.cases import LIMITED, PLAIN, Case
from benchmarks.scaling.document import NoResultsError, write_document
from benchmarks.scaling.rows import FIXED
from benchmarks.scaling.store import Job, Store
from benchmarks.scaling.summary import scenarios
from tests.unit.scaling_benchmark.results import measured

ROWS = {
    "slo": (0.992, 12.0),
    "slo miss=0.001": (0.999, 13.0),
    "queue": (0.98, 20.0),
    "queue target=0.5": (0.995, 30.0),
    "keda-hpa": (0.991, 15.0),
    "keda-hpa 2,0.9": (0.97, 11.0),
    "oracle": (0.995, 10.5),
    "bound": (0.99, 9.0),
    "clairvoyant": (0.99, 10.0),
    FIXED: (0.99, 25.0),
}


def stored(path: Path, rows: Iterable[str] = ROWS) -> Store:
    """Return a store at ``path`` with runs of one shape, with and without a limit."""
    store = Store(path)
    for number in range(3):
        for option in (PLAIN, LIMITED):
            case = Case("reported", "flash-crowds", number, option=option)
            for row in rows:
                policy, _, settings = row.partition(" ")
                store.add(Job(case, policy, settings), measured(*ROWS[row]))
    return store


def test_the_document_states_what_holds(tmp_path: Path) -> None:
    store = stored(tmp_path / "scaling.json")
    write_document(store, tmp_path / "scaling.md")
    text = (tmp_path / "scaling.md").read_text()
    assert "slo meets the target on 1 of 1 traces" in text
    assert "| flash-crowds | **99.2** ± 0.0 % | keda-hpa: **99.1** ± 0.0 % | -20 % |" in text
    assert "99.5 ± 0.0 %; 1.05" in text.replace("**", "")
    assert (tmp_path / "scaling.png").stat().st_size > 5000
    assert (tmp_path / "scaling-flash-crowds.png").stat().st_size > 5000
    assert len(scenarios(store)) == 2
    assert "fewer seeds" not in text


@pytest.mark.parametrize(
    "rows",
    [
        ("slo", "queue", "slo miss=0.001", "queue target=0.5"),
        ("slo", "oracle", "bound", "clairvoyant", FIXED),
        ("slo",),
    ],
)
def test_a_part_of_the_rows_makes_a_page(
    tmp_path: Path, rows: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "DRAWN", ("flash-crowds",) if len(rows) == 1 else ())
    write_document(stored(tmp_path / "scaling.json", rows), tmp_path / "scaling.md")
    text = (tmp_path / "scaling.md").read_text()
    assert "| flash-crowds | **99.2** ± 0.0 % |  |  | was not compared |" in text
    assert "0 of 0" not in text
    assert "is never more than" in text or "queue" not in rows
    assert ("fixed fleet meets the target for less" in text) is ("bound" in rows)


def test_the_page_names_comparisons_on_few_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "DRAWN", ())
    for seeds, words in ((range(1), "1 of these comparisons"), (range(5, 6), "Not compared are 1")):
        store = stored(tmp_path / "scaling.json")
        for number in seeds:
            case = Case("reported", "flash-crowds", number)
            store.add(Job(case, "queue", "target=2"), measured(0.99, 20.0))
        write_document(store, tmp_path / "scaling.md")
        assert words in (tmp_path / "scaling.md").read_text()


def test_pictures_are_named_after_their_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "draw_overview", lambda _, path: path.write_text("x"))
    monkeypatch.setattr(document, "draw_history", lambda _, path: path.write_text("x"))
    write_document(stored(tmp_path / "quick.json"), tmp_path / "quick.md")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"quick.md", "quick.png", "quick-flash-crowds.png"}
    text = (tmp_path / "quick.md").read_text()
    assert "(quick.png)" in text
    assert "(quick-flash-crowds.png)" in text


def test_a_page_is_kept_without_results(tmp_path: Path) -> None:
    page = tmp_path / "scaling.md"
    page.write_text("results")
    with pytest.raises(NoResultsError, match="no results of slo"):
        write_document(stored(tmp_path / "scaling.json", ["keda-hpa"]), page)
    assert page.read_text() == "results"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"day": {"60": {"slo": [0.99, 12.0]}}}', "has another format"),
        ('{"columns": ["attained"], "results": {"reported": {}}}', "has another format"),
        (None, "no results of slo"),
    ],
)
def test_the_document_alone_needs_results(
    tmp_path: Path, text: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, page = tmp_path / "scaling.json", tmp_path / "scaling.md"
    page.write_text("results")
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit) as caught:
        program.main(["--document", "--store", str(path)])
    assert caught.value.code
    assert words in capsys.readouterr().err
    assert page.read_text() == "results"
    assert not text or path.read_text() == text


def test_a_quick_run_does_not_touch_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    monkeypatch.setattr(program, "measure", lambda *_, **__: None)
    monkeypatch.setattr(program, "write_document", lambda _, path: written.append(path))
    monkeypatch.setattr(program, "QUICK_RESULTS", tmp_path / "new" / "scaling-quick.json")
    program.main(["--quick"])
    assert written == [tmp_path / "new" / "scaling-quick.md"]
    with pytest.raises(SystemExit):
        program.main(["--quick", "--store", str(program.RESULTS)])
    assert len(written) == 1
