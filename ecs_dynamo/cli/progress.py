"""Progress towards convergence: actions as they happen, waits as they change."""

from __future__ import annotations

import time

from ecs_dynamo.console import say
from ecs_dynamo.controller import Pass
from ecs_dynamo.model.errors import ExitCode
from ecs_dynamo.planning import describe_action


def exit_code_of(last_pass: Pass) -> ExitCode:
    """Return the exit code of a command whose last pass this is.

    FAILED: AWS refused an action, ECS gave up on a rollout, or the observation is incomplete.
    """
    if last_pass.converged:
        return ExitCode.OK
    failed = last_pass.plan.stuck or not last_pass.complete
    return ExitCode.FAILED if failed else ExitCode.NOT_CONVERGED


def print_waits(last_pass: Pass) -> None:
    """Print what the components of a graph that has not converged wait for."""
    for wait in last_pass.plan.waits:
        say(f"still waiting: {wait.component}: {wait.reason}", style="yellow", stderr=True)


class Progress:
    """Prints what each pass adds. ``quiet`` prints nothing (for ``--json``)."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._started = time.monotonic()
        self._printed: set[tuple[str, str]] = set()

    def __call__(self, done: Pass) -> None:
        """Print the actions of a pass, and its waits and failed observations when they are new."""
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
        for component, reason in sorted(waits - self._printed):
            say(f"{at} waiting: {component}: {reason}", style="dim")
        for problem in done.unknown:
            if ("unknown", problem) not in self._printed:
                say(f"{at} observation failed: {problem}", style="yellow")
        self._printed = waits | {("unknown", problem) for problem in done.unknown}

    @property
    def seconds(self) -> float:
        """Seconds since the command started."""
        return time.monotonic() - self._started
