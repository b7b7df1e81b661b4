"""Generated traces: two disjoint families, repeatable, with the shapes that their names promise."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ecs_dynamo.model.errors import InputError
from ecs_dynamo.simulate.traces.families import GENERATORS, REPORTED, TRAINING, Family
from ecs_dynamo.simulate.traces.shapes.base import poisson_arrivals
from ecs_dynamo.simulate.traces.trace import Array, Trace

SHORT = ("growing-prompts", "code-assistant", "flash-crowds", "launch-day", "batch-jobs", "bursty")


def parameters(value: object, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numeric fields of a shape, with those of its lengths."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from parameters(getattr(value, field.name), f"{path}.{field.name}")
    else:
        assert isinstance(value, float)
        yield path, value


def test_the_families_share_no_seed_and_no_parameter() -> None:
    assert not set(TRAINING.seeds) & set(REPORTED.seeds)
    assert TRAINING.shapes.keys() == REPORTED.shapes.keys()
    for name, shape in TRAINING.shapes.items():
        other = dict(parameters(REPORTED.shapes[name]))
        assert not {path for path, value in parameters(shape) if other[path] == value}, name


def test_a_family_rejects_seeds_of_another_and_unknown_shapes() -> None:
    with pytest.raises(InputError, match="seed 7 is not of the reported family"):
        REPORTED.generate("day", 7)
    with pytest.raises(InputError, match="seed 1000 is not of the training family"):
        TRAINING.generate("day", 1000)
    with pytest.raises(InputError, match="no generated trace night"):
        TRAINING.generate("night", 1)


@pytest.mark.parametrize("name", SHORT)
def test_generators_are_repeatable_and_seeds_differ(name: str) -> None:
    first, second, other = (REPORTED.generate(name, seed) for seed in (1005, 1005, 1006))
    for trace in (first, second):
        assert (np.diff(trace.arrivals) >= 0).all()
        assert trace.arrivals[0] >= 0
        assert trace.seconds <= REPORTED.shapes[name].seconds
        assert trace.prompts.min() >= 4
        assert trace.outputs.min() >= 1
    assert (first.arrivals == second.arrivals).all()
    assert (first.prompts == second.prompts).all()
    assert (first.outputs == second.outputs).all()
    assert len(first) != len(other)
    assert GENERATORS[name](1005).name == name
    assert 20_000 < len(first) < 300_000


@pytest.mark.parametrize("family", [TRAINING, REPORTED], ids=lambda family: family.name)
@pytest.mark.parametrize("name", SHORT)
def test_the_load_is_that_of_2_to_60_replicas(family: Family, name: str) -> None:
    """One replica serves 4,000 prompt tokens/s, or 16 outputs at 30 ms per token."""
    trace = family.generate(name, family.seeds.start + 2)
    work = 0.03 + trace.prompts / 4_000 + trace.outputs * 0.03 / 16
    load = np.bincount((trace.arrivals / 60).astype(int), work) / 60
    assert 2 < load.max() < 55


def rates(trace: Trace, width: float) -> Array:
    """Return requests/s in intervals of ``width`` seconds."""
    edges = np.arange(0.0, trace.seconds + width, width)
    return np.asarray(np.histogram(trace.arrivals, edges)[0] / width, dtype=np.float64)


def level(name: str, seed: int) -> Array:
    """Return the level of a reported shape every minute, without noise of arrivals."""
    shape = REPORTED.shapes[name]
    times = np.arange(0.0, shape.seconds, 60.0)
    return shape.level(times, np.random.default_rng(seed))


def test_prompts_grow_in_conversations() -> None:
    trace = REPORTED.generate("growing-prompts", 1001)
    third = trace.seconds / 3
    means = [
        trace.prompts[(trace.arrivals >= i * third) & (trace.arrivals < (i + 1) * third)].mean()
        for i in range(3)
    ]
    assert means[1] > 1.7 * means[0]
    assert means[2] > 1.3 * means[1]
    minutes = rates(trace, 300.0)
    assert minutes[6:].max() < 1.5 * minutes[6:].min()  # The requests do not become more frequent.


def test_code_assistants_have_long_prompts_and_clustered_arrivals() -> None:
    trace = REPORTED.generate("code-assistant", 1001)
    assert trace.prompts.mean() > 100 * trace.outputs.mean()
    counts = rates(trace, 30.0) * 30.0
    assert counts.var() > 2 * counts.mean()


def test_crowds_multiply_the_load_within_two_minutes_and_decay() -> None:
    for seed in range(1001, 1006):
        values = level("flash-crowds", seed)
        assert (values[:20] == 1.0).all()
        assert values.max() > 4.0
        assert (values[3:] / values[:-3]).max() > 4.0
        assert values.min() == 1.0


def test_a_launch_is_a_step_that_stays() -> None:
    values = level("launch-day", 1003)
    assert values[-60:].mean() > 3.0 * values[:60].mean()


def test_batch_jobs_leave_idle_gaps() -> None:
    trace = REPORTED.generate("batch-jobs", 1001)
    minutes = rates(trace, 60.0)
    assert np.mean(minutes == 0) > 0.2
    assert minutes.max() > 8.0


def test_bursts_recur_and_weeks_have_weekends() -> None:
    values = level("recurring-bursts", 1001)
    at = [int((1_800 + 7_200 * i + 240) / 60) for i in range(24)]
    assert np.mean(values[at] > 4.0) > 0.7
    assert np.median(values) < 1.6
    weeks = level("business-weeks", 1001)
    days = weeks.reshape(-1, 1440).mean(axis=1)
    assert len(days) == 14
    assert days[[0, 1, 2, 3, 4, 7, 8, 9, 10, 11]].min() > 3 * days[[5, 6, 12, 13]].max()


def test_arrivals_vary_more_than_those_of_a_poisson_process() -> None:
    rng = np.random.default_rng(1)
    even = poisson_arrivals(np.full(20_000, 2.0), rng, 0.0, 30.0)
    varied = poisson_arrivals(np.full(20_000, 2.0), rng, 0.5, 30.0)
    dispersion = []
    for arrivals in (even, varied):
        counts = np.bincount((arrivals / 30.0).astype(int))
        assert counts.mean() == pytest.approx(60.0, rel=0.03)
        dispersion.append(counts.var() / counts.mean())
    assert dispersion[0] == pytest.approx(1.0, abs=0.15)
    assert dispersion[1] == pytest.approx(1.0 + 0.25 * 60.0, rel=0.15)


def test_no_module_outside_the_families_names_reported_parameters() -> None:
    """Policies cannot import the reported shapes."""
    root = Path(__file__).parents[3] / "ecs_dynamo"
    importing = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "shapes.reported" in path.read_text()
    }
    assert importing == {"simulate/traces/families.py"}
