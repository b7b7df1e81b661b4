"""A state machine that drives the real observation, planning and execution.

A run that violates an invariant prints itself as JSON; CONTRIBUTING.md explains how to keep it.
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
from tests.unit.chaos.explore import quiet, tell
from tests.unit.chaos.steps import PARAMETERS, SETUP, begin
from tests.unit.chaos.world import World

KEPT = Path(__file__).parent / "kept"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    quiet()
    yield
    structlog.reset_defaults()


class Chaos(RuleBasedStateMachine):
    """A graph and its daemon under faults. Its rules are those of `steps.PARAMETERS`."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    @initialize(
        told=st.fixed_dictionaries({n: st.sampled_from(v) for n, v in SETUP.items()}),
        settled=st.booleans(),
    )
    def begin(self, told: dict[str, Any], settled: bool) -> None:
        self.world = World(**begin(**told))
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
    made: Callable[..., None] = declare(**drawn)(happens)
    return made


# Events need time to happen, so passes are drawn more often than any other step.
for _name in (*PARAMETERS, "run", "run", "run", "run", "run"):
    _free = next(n for n in (_name, *(f"{_name}_{i}" for i in range(9))) if not hasattr(Chaos, n))
    setattr(Chaos, _free, _rule(_name))

TestChaos = Chaos.TestCase
TestChaos.settings = settings(
    max_examples=1000 if LONG else 12,
    stateful_step_count=30 if LONG else 20,
    # `explore` shortens a story of a hundred passes in a fraction of the time.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
    # A test that fails sometimes hinders unrelated changes: only long runs are random.
    derandomize=not LONG,
)
if LONG:
    TestChaos = pytest.mark.timeout(0)(TestChaos)


@pytest.mark.parametrize("kept", sorted(KEPT.glob("*.json")), ids=lambda p: p.stem)
def test_what_failed_once_holds(kept: Path) -> None:
    """Stories that failed once, and stories that fail without a guard: an empty list that counts as
    absence, writes without a lease, a stale signal, busy workers, releases in doubt."""
    assert tell(json.loads(kept.read_text())) is None
