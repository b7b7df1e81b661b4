"""A state machine over the real observation, planning and execution, with all kinds of events.

A run that violates an invariant is printed as JSON; CONTRIBUTING.md explains how to keep it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.conftest import LONG
from tests.unit.chaos.explore import disable_logs, replay
from tests.unit.chaos.steps import PARAMETERS, SETUP, setup_of
from tests.unit.chaos.world import World

KEPT = Path(__file__).parent / "kept"


@pytest.fixture(autouse=True)
def _without_logs() -> Iterator[None]:
    disable_logs()
    yield
    structlog.reset_defaults()


class Chaos(RuleBasedStateMachine):
    """A random run. Its rules are the events of `steps.PARAMETERS`."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    @initialize(
        setup=st.fixed_dictionaries({n: st.sampled_from(v) for n, v in SETUP.items()}),
        settled=st.booleans(),
    )
    def begin(self, setup: dict[str, Any], settled: bool) -> None:
        self.world = World(setup_of(**setup))
        if settled:
            self.world.do("settle")

    def teardown(self) -> None:
        if self.world is not None:
            try:
                self.world.do("settle")
            finally:
                self.world.close()


def _rule(name: str) -> Callable[..., None]:
    def happens(self: Chaos, **arguments: Any) -> None:
        assert self.world is not None
        self.world.do(name, **arguments)

    happens.__name__ = name
    drawn = {n: st.sampled_from(values) for n, values in PARAMETERS[name].items()}
    declare: Any = rule
    declared: Callable[..., None] = declare(**drawn)(happens)
    return declared


# Passes are drawn more often than other events, so that the daemon has time to react.
for _name in (*PARAMETERS, "run", "run", "run", "run", "run"):
    _free = next(n for n in (_name, *(f"{_name}_{i}" for i in range(9))) if not hasattr(Chaos, n))
    setattr(Chaos, _free, _rule(_name))

TestChaos = Chaos.TestCase
TestChaos.settings = settings(
    max_examples=1000 if LONG else 12,
    stateful_step_count=30 if LONG else 20,
    # `explore` shortens a run of a hundred passes in a fraction of the time.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
    # Random runs are for the long profile: a flaky test would fail for unrelated changes.
    derandomize=not LONG,
)
if LONG:
    TestChaos = pytest.mark.timeout(0)(TestChaos)


@pytest.mark.parametrize("kept", sorted(KEPT.glob("*.json")), ids=lambda p: p.stem)
def test_kept_runs_hold_all_invariants(kept: Path) -> None:
    """These runs failed once, or fail if a guard is removed: against empty lists, writes without a
    lease, stale signals, stops of busy workers, or releases in doubt."""
    assert replay(json.loads(kept.read_text())) is None
