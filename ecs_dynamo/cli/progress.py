"""Progress of passes towards convergence: actions as they happen, waits as they change."""

from __future__ import annotations

import time

from ecs_dynamo.console import say
from ecs_dynamo.controller import Pass
from ecs_dynamo.planning import describe_action


class Progress:
    """Prints what is new in each pass. ``quiet`` prints nothing (for ``--json``)."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._started = time.monotonic()
        self._told: set[tuple[str, str]] = set()

    def __call__(self, done: Pass) -> None:
        """Tell what ``done`` did and what it waits for, each once."""
        if self._quiet:
            return
        at = f"[{time.monotonic() - self._started:6.1f} s]"
        for result in done.results:
            if result.skipped:
                continue
            text = describe_action(result.action)
            if result.ok:
                say(f"{at} {text}", style="green")
            else:
                say(f"{at} {text}: {result.error}", style="red")
        waits = {(w.component, w.reason) for w in done.plan.waits}
        for component, reason in sorted(waits - self._told):
            say(f"{at} waiting: {component}: {reason}", style="dim")
        for problem in done.unknown:
            if ("unknown", problem) not in self._told:
                say(f"{at} not observed: {problem}", style="yellow")
        self._told = waits | {("unknown", problem) for problem in done.unknown}

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started
