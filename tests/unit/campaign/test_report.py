"""The result of a campaign, its page and its output on the terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from benchmarks.chaos.__main__ import HEAD, options
from benchmarks.chaos.account import Account
from benchmarks.chaos.campaign import CampaignResult, FaultResult
from benchmarks.chaos.faults import FAULTS
from benchmarks.chaos.report import page, terminal_line

ACCOUNT = Account(sent=100, failed=0, retried=2, streamed=50, gap=0.4, slowest=1.0)
LOST = replace(ACCOUNT, failed=3, gap=6.25, errors=(("broken off", 2), ("HTTP 503", 1)))
AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def row(name: str, account: Account = ACCOUNT, **changes: object) -> FaultResult:
    fields: dict[str, object] = {"recovery": 12.4, **changes}
    return FaultResult(FAULTS[name], account, **fields)  # type: ignore[arg-type]  # Many types.


def test_a_lost_request_fails_a_fault_only_if_dynamo_can_survive_it() -> None:
    assert row("decode killed").passed
    assert not row("decode killed", LOST).passed
    assert row("frontend killed", LOST).passed
    assert not row("frontend killed", LOST, violations=("v",)).passed
    assert not row("frontend killed", LOST, recovery=None).passed


def test_a_campaign_passes_if_every_fault_was_run_and_passed() -> None:
    result = CampaignResult(seed=1, results=[row("none")])
    assert result.passed
    result.not_run.append(FAULTS["decode hung"])
    assert not result.passed
    assert not CampaignResult(seed=1, results=[row("none"), row("decode killed", LOST)]).passed


def test_the_page_has_the_faults_in_their_order_with_reasons() -> None:
    rows = [row("frontend killed", LOST), row("decode killed"), row("none")]
    text = page(CampaignResult(7, 90.0, rows), "# Head\n", AT)
    assert text.startswith(
        "# Head\n\nThis run: seed 7, 2026-01-02 03:04 UTC, 3 faults in 2 minutes"
    )
    assert "300 requests; 0 failed in the 2 faults that Dynamo can survive; 0 violations." in text
    assert "| decode killed | 100 | 0 | 2 | 0.4 s | 12 s | 0 | SIGKILL to a decode worker |" in text
    assert "| frontend killed | 100 | 3 | 2 | 6.2 s | 12 s | 0 |" in text
    order = [text.index(f"| {name} |") for name in ("none", "decode killed", "frontend killed")]
    assert order == sorted(order)
    assert f"- **frontend killed**: {FAULTS['frontend killed'].reason}" in text
    assert "- frontend killed: 2 x broken off; 1 x HTTP 503" in text
    assert "Not run" not in text


def test_problems_are_reported_on_the_page_and_the_terminal() -> None:
    bad = row("none", violations=("two services",), recovery=None, problem="decode has a rollout")
    result = CampaignResult(1, 5.0, [bad], [FAULTS["decode hung"]])
    text = page(result, "# Head", AT)
    assert "| none | 100 | 0 | 2 | 0.4 s | no | 1 |" in text
    assert "- none: two services; decode has a rollout" in text
    assert text.endswith("## Not run, for lack of time\n\ndecode hung\n")
    line = terminal_line(bad)
    assert line.startswith("FAIL none")
    assert "two services" in line
    assert "decode has a rollout" in line
    assert terminal_line(row("none")).startswith("ok   none")


def test_faults_are_selected_by_name_or_pattern() -> None:
    assert len(options([]).selected) == len(FAULTS)
    arguments = options(["--faults", "API*", "decode killed", "--seed", "3"])
    assert [f.name for f in arguments.selected] == [
        "API throttle",
        "API error",
        "API delay",
        "decode killed",
    ]
    assert arguments.seed == 3
    with pytest.raises(SystemExit):
        options(["--faults", "no such fault"])


def test_each_fault_that_costs_requests_has_a_reason_and_all_have_a_deadline() -> None:
    assert HEAD.read_text().startswith("# ")
    assert all(fault.name == name and fault.description for name, fault in FAULTS.items())
    assert all(fault.deadline <= 240 for fault in FAULTS.values())
    costly = {name for name, fault in FAULTS.items() if not fault.survivable}
    assert costly == {"frontend killed", "decode hung", "prefill hung"}
