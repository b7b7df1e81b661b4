"""The page and the verdict: what is fine, what is not, and where it is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from benchmarks.chaos.__main__ import HEAD, options
from benchmarks.chaos.account import Account
from benchmarks.chaos.campaign import Result, Row
from benchmarks.chaos.faults import FAULTS
from benchmarks.chaos.report import page, terminal_line

ACCOUNT = Account(sent=100, failed=0, retried=2, streamed=50, gap=0.4, slowest=1.0)
LOST = replace(ACCOUNT, failed=3, gap=6.25, errors=(("broken off", 2), ("HTTP 503", 1)))
AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def row(name: str, account: Account = ACCOUNT, **more: object) -> Row:
    fields: dict[str, object] = {"recovery": 12.4, **more}
    return Row(FAULTS[name], account, **fields)  # type: ignore[arg-type]  # fields of several types


def test_a_lost_request_is_wrong_only_where_dynamo_could_have_kept_it() -> None:
    assert row("decode killed").fine
    assert not row("decode killed", LOST).fine
    assert row("frontend killed", LOST).fine
    assert not row("frontend killed", LOST, violations=("v",)).fine
    assert not row("frontend killed", LOST, recovery=None).fine


def test_a_campaign_is_fine_when_every_fault_was_run_and_is() -> None:
    result = Result(seed=1, rows=[row("none")])
    assert result.fine
    result.left_out.append(FAULTS["decode hung"])
    assert not result.fine
    assert not Result(seed=1, rows=[row("none"), row("decode killed", LOST)]).fine


def test_the_page_has_every_row_in_the_tables_order_and_the_reasons() -> None:
    rows = [row("frontend killed", LOST), row("decode killed"), row("none")]
    text = page(Result(7, 90.0, rows), "# Head\n", AT)
    assert text.startswith(
        "# Head\n\nThis run: seed 7, 2026-01-02 03:04 UTC, 3 faults in 2 minutes"
    )
    assert "300 requests; 0 failed in the 2 faults that Dynamo can survive; 0 violations." in text
    assert "| decode killed | 100 | 0 | 2 | 0.4 s | 12 s | 0 | SIGKILL to a decode worker |" in text
    assert "| frontend killed | 100 | 3 | 2 | 6.2 s | 12 s | 0 |" in text
    order = [text.index(f"| {name} |") for name in ("none", "decode killed", "frontend killed")]
    assert order == sorted(order)
    assert f"- **frontend killed**: {FAULTS['frontend killed'].why}" in text
    assert "- frontend killed: 2 x broken off; 1 x HTTP 503" in text
    assert "Not run" not in text


def test_what_is_not_fine_is_told_on_the_page_and_the_terminal() -> None:
    bad = row("none", violations=("two services",), recovery=None, problem="decode rolls")
    result = Result(1, 5.0, [bad], [FAULTS["decode hung"]])
    text = page(result, "# Head", AT)
    assert "| none | 100 | 0 | 2 | 0.4 s | no | 1 |" in text
    assert "- none: two services; decode rolls" in text
    assert text.endswith("## Not run, for lack of time\n\ndecode hung\n")
    line = terminal_line(bad)
    assert line.startswith("FAIL none")
    assert "two services" in line
    assert "decode rolls" in line
    assert terminal_line(row("none")).startswith("ok   none")


def test_faults_are_chosen_by_name_or_pattern() -> None:
    assert len(options([]).chosen) == len(FAULTS)
    chosen = options(["--faults", "API*", "decode killed", "--seed", "3"])
    assert [f.name for f in chosen.chosen] == [
        "API throttle",
        "API error",
        "API delay",
        "decode killed",
    ]
    assert chosen.seed == 3
    with pytest.raises(SystemExit):
        options(["--faults", "no such fault"])


def test_each_fault_that_costs_requests_says_why_and_all_end_in_time() -> None:
    assert HEAD.read_text().startswith("# ")
    assert all(fault.name == name and fault.what for name, fault in FAULTS.items())
    assert all(fault.deadline <= 240 for fault in FAULTS.values())
    costly = {name for name, fault in FAULTS.items() if not fault.survivable}
    assert costly == {"frontend killed", "decode hung", "prefill hung"}
