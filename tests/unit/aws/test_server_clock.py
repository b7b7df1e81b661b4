"""AWS's time is followed through its responses: the machine's own clock may say what it likes."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.aws.server_clock import ServerClock
from ecs_dynamo.model.clock import Now

EPOCH = 1_800_000_000.0


class Machine:
    """Two clocks of a machine, and the server's, which nobody sets."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.set_by = 0.0
        self.clock = ServerClock(lambda: 50.0 + self.passed, lambda: EPOCH + self.set_by)

    def answer(self, latency: float = 0.0) -> None:
        """The server answers after ``latency`` seconds, half of them on the way back."""
        asked = self.clock.monotonic()
        self.passed += latency / 2
        date = formatdate(int(EPOCH + self.passed), usegmt=True)
        self.passed += latency / 2
        self.clock.observe(asked, {"ResponseMetadata": {"HTTPHeaders": {"date": date}}})


def test_before_an_answer_the_machines_clock_has_to_do() -> None:
    assert Machine().clock.now() == Now(50.0, EPOCH)


@given(
    st.lists(
        st.tuples(st.floats(0.0, 5000.0), st.floats(0.0, 3.0), st.floats(-1e5, 1e5)), min_size=1
    )
)
def test_it_is_right_to_the_second_and_the_latency_whatever_the_machine_is_set_to(
    steps: list[tuple[float, float, float]],
) -> None:
    machine = Machine()
    for pause, latency, set_by in steps:
        machine.passed += pause
        machine.set_by += set_by
        machine.answer(latency)
        now = machine.clock.now()
        assert now.monotonic == 50.0 + machine.passed
        assert now.wall == pytest.approx(EPOCH + machine.passed, abs=(1.0 + latency) / 2 + 1e-3)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"ResponseMetadata": {}},
        {"ResponseMetadata": {"HTTPHeaders": {"date": "yesterday"}}},
        {"ResponseMetadata": {"HTTPHeaders": {"date": "Mon, 99 Foo 9999 99:99:99 GMT"}}},
    ],
)
def test_an_answer_without_a_date_changes_nothing(answer: dict[str, Any]) -> None:
    machine = Machine()
    machine.clock.observe(50.0, answer)
    assert machine.clock.now().wall == EPOCH


def test_a_server_whose_clock_was_set_is_followed() -> None:
    machine = Machine()
    machine.answer()
    late = {"date": formatdate(EPOCH + 7200, usegmt=True)}
    machine.clock.observe(50.0, {"ResponseMetadata": {"HTTPHeaders": late}})
    assert machine.clock.now().wall == pytest.approx(EPOCH + 7200, abs=1.0)


def test_timestamps_are_carried_between_the_clocks() -> None:
    now = Now(monotonic=100.0, wall=EPOCH)
    assert now.monotonic_of(EPOCH - 30.0) == 70.0
    assert now.wall_of(70.0) == EPOCH - 30.0
    assert Now.at(5.0) == Now(5.0, 5.0)
