"""Search for runs that violate an invariant for a given time, and shorten them.

    python -m tests.unit.chaos.explore --seconds 600 --out FOLDER [--seed N]
    python -m tests.unit.chaos.explore --shorten STORY.json

The state machine of `test_chaos.py` draws the same steps with Hypothesis. Shortening a story of a
hundred passes is much faster here, because steps are simply left out.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from tests.unit.chaos.steps import CHANGES, PARAMETERS, SETUP, begin
from tests.unit.chaos.world import World

Step = tuple[str, dict[str, Any]]
Story = dict[str, Any]


def quiet() -> None:
    """Disable logging: nobody reads the logs of thousands of passes."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def tell(story: Story) -> str | None:
    """Run the story; return the violation in which it ends, or None."""
    world = World(**story["setup"])
    try:
        for step, arguments in story["steps"]:
            world.do(step, **arguments)
        if not story["steps"] or story["steps"][-1][0] != "settle":
            world.do("settle")
    except AssertionError as error:
        return str(error).partition("\nto keep it")[0]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        world.close()
    return None


def _sort(problem: str) -> str:
    """Return the sort of a violation, without the names and numbers that vary."""
    return re.sub(r"[\d.]+", "#", problem)[:60]


def shorten(story: Story, problem: str, seconds: float = 120.0) -> Story:
    """Leave out steps while the same sort of violation remains."""
    end = time.monotonic() + seconds
    steps = list(story["steps"])
    size = max(1, len(steps) // 2)
    while True:
        start, changed = 0, False
        while start < len(steps) and time.monotonic() < end:
            fewer = [*steps[:start], *steps[start + size :]]
            found = tell({**story, "steps": fewer})
            if found is not None and _sort(found) == _sort(problem):
                steps, changed = fewer, True
            else:
                start += size
        if time.monotonic() >= end or (size == 1 and not changed):
            return {**story, "steps": steps}
        size = max(1, size // 2)


def draw(seed: int) -> Story:
    """Draw a story: its setup and its steps."""
    chance = random.Random(seed)
    setup = begin(**{name: chance.choice(values) for name, values in SETUP.items()})
    steps: list[Step] = []
    if chance.random() < 0.8:
        steps.append(("settle", {}))
    names = [n for n in PARAMETERS if n != "settle"]
    # Use a few sorts of events at a time: all at once end in the same few states.
    chosen = chance.sample(names, chance.randint(2, 7))
    for _ in range(chance.randint(4, 20)):
        # Faults matter most while something changes.
        order = (chance.choice(CHANGES), chance.choice(chosen)) if chance.random() < 0.3 else ()
        names_now = order or ("run" if chance.random() < 0.4 else chance.choice(chosen),)
        steps += [
            (name, {k: chance.choice(v) for k, v in PARAMETERS[name].items()}) for name in names_now
        ]
    return {"setup": setup, "steps": steps}


def explore(seconds: float, seed: int, out: Path, say: Callable[[str], None]) -> int:
    """Run stories; shorten each new sort of violation and write it to a file."""
    end, known, number = time.monotonic() + seconds, set[str](), 0
    while time.monotonic() < end:
        story = draw(seed + number)
        number += 1
        problem = tell(story)
        if problem is None or _sort(problem) in known:
            continue
        known.add(_sort(problem))
        short = shorten(story, problem)
        told = tell(short)
        (out / f"{seed + number - 1}.json").write_text(json.dumps(short))
        say(f"seed {seed + number - 1}: {told}\n{json.dumps(short)}\n")
    say(f"{number} stories, {len(known)} sorts of violations")
    return len(known)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--shorten", type=Path)
    given = parser.parse_args()
    quiet()

    def say(text: str) -> None:
        print(text, flush=True)  # noqa: T201 (a tool for the terminal)

    if given.shorten is not None:
        story = json.loads(given.shorten.read_text())
        problem = tell(story)
        say(str(problem))
        if problem is not None:
            say(json.dumps(shorten(story, problem)))
    else:
        explore(given.seconds, given.seed, given.out, say)
