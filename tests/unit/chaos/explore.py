"""Search for runs that violate an invariant, in a given time, and shorten them.

    python -m tests.unit.chaos.explore --seconds 600 --out FOLDER [--seed N]
    python -m tests.unit.chaos.explore --shorten RUN.json

The state machine of `test_chaos.py` draws the same events with Hypothesis. Shortening a run of a
hundred passes is much faster here, as events are only left out.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from tests.unit.chaos.setup import Setup
from tests.unit.chaos.steps import CHANGES, PARAMETERS, SETUP, setup_of
from tests.unit.chaos.world import World

Step = tuple[str, dict[str, Any]]
Run = dict[str, Any]


def disable_logs() -> None:
    """Disable the logs of thousands of passes."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def replay(run: Run) -> str | None:
    """Repeat a run. Return the violation that it ends in, or None."""
    world = World(Setup(**run["setup"]))
    try:
        for step, arguments in run["steps"]:
            world.do(step, **arguments)
        if not run["steps"] or run["steps"][-1][0] != "settle":
            world.do("settle")
    except AssertionError as error:
        return str(error).partition("\nto keep it")[0]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        world.close()
    return None


def _kind(problem: str) -> str:
    """Return the kind of a violation; violations of one kind differ only in their numbers."""
    return re.sub(r"[\d.]+", "#", problem)[:60]


def shorten(run: Run, problem: str, seconds: float = 120.0) -> Run:
    """Leave out events as long as the same kind of violation remains."""
    end = time.monotonic() + seconds
    steps = list(run["steps"])
    size = max(1, len(steps) // 2)
    while True:
        start, changed = 0, False
        while start < len(steps) and time.monotonic() < end:
            fewer = [*steps[:start], *steps[start + size :]]
            violation = replay({**run, "steps": fewer})
            if violation is not None and _kind(violation) == _kind(problem):
                steps, changed = fewer, True
            else:
                start += size
        if time.monotonic() >= end or (size == 1 and not changed):
            return {**run, "steps": steps}
        size = max(1, size // 2)


def draw(seed: int) -> Run:
    """Return a random run."""
    rng = random.Random(seed)
    setup = setup_of(**{name: rng.choice(values) for name, values in SETUP.items()})
    steps: list[Step] = []
    if rng.random() < 0.8:
        steps.append(("settle", {}))
    names = [n for n in PARAMETERS if n != "settle"]
    # A run has a few kinds of events: with all of them, runs end in the same few states.
    selected = rng.sample(names, rng.randint(2, 7))
    for _ in range(rng.randint(4, 20)):
        # Faults matter most during a change.
        pair = (rng.choice(CHANGES), rng.choice(selected)) if rng.random() < 0.3 else ()
        events = pair or ("run" if rng.random() < 0.4 else rng.choice(selected),)
        steps += [
            (name, {k: rng.choice(v) for k, v in PARAMETERS[name].items()}) for name in events
        ]
    return {"setup": asdict(setup), "steps": steps}


def explore(seconds: float, seed: int, out: Path, say: Callable[[str], None]) -> int:
    """Try random runs; shorten the first of each kind of violation and write it to ``out``."""
    end, known, number = time.monotonic() + seconds, set[str](), 0
    while time.monotonic() < end:
        run = draw(seed + number)
        number += 1
        problem = replay(run)
        if problem is None or _kind(problem) in known:
            continue
        known.add(_kind(problem))
        short = shorten(run, problem)
        violation = replay(short)
        (out / f"{seed + number - 1}.json").write_text(json.dumps(short))
        say(f"seed {seed + number - 1}: {violation}\n{json.dumps(short)}\n")
    say(f"{number} runs, {len(known)} kinds of violations")
    return len(known)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--shorten", type=Path)
    arguments = parser.parse_args()
    disable_logs()

    def say(text: str) -> None:
        print(text, flush=True)  # noqa: T201 (a tool for the terminal)

    if arguments.shorten is not None:
        run = json.loads(arguments.shorten.read_text())
        problem = replay(run)
        say(str(problem))
        if problem is not None:
            say(json.dumps(shorten(run, problem)))
    else:
        explore(arguments.seconds, arguments.seed, arguments.out, say)
