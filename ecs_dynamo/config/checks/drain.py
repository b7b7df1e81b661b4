"""Checks of drain times: the graph file, Dynamo's variables and ``stopTimeout`` must agree.

After SIGTERM a process has until ``stopTimeout`` to finish its requests (`model.dynamo.drain`).
Planning renders declared drain times and raises ``stopTimeout`` for them, so what remains to report
are limits that it cannot raise, and values of the user, which have precedence.
"""

from __future__ import annotations

import math

from ecs_dynamo.config.build.components import BuiltComponent
from ecs_dynamo.config.reading.document import Document, FieldPath
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.dynamo.drain import (
    DEFAULT_STOP_SECONDS,
    MAX_FARGATE_DRAIN_SECONDS,
    MAX_FARGATE_STOP_SECONDS,
    STOP_MARGIN_SECONDS,
    drain_variables,
    parse_seconds,
)
from ecs_dynamo.model.dynamo.variables import GRACE_VARIABLE
from ecs_dynamo.model.ecs.task_definition import CONTAINERS, variable_value
from ecs_dynamo.model.spec.graph import GraphSpec
from ecs_dynamo.model.spec.service import LaunchType

_FARGATE_LIMIT = (
    f"Fargate ends a container at most {MAX_FARGATE_STOP_SECONDS} s after SIGTERM, so that "
    f"replicas have {MAX_FARGATE_DRAIN_SECONDS} s to finish requests"
)


def check_drains(
    spec: GraphSpec, components: list[BuiltComponent], document: Document, report: Report
) -> None:
    """Check the drain time of every component that serves requests or runs Dynamo."""
    for built in components:
        if not built.component.is_infrastructure:
            _Checker(spec, built, document, report).run()


class _Checker:
    def __init__(
        self, spec: GraphSpec, built: BuiltComponent, document: Document, report: Report
    ) -> None:
        self.spec = spec
        self.built = built
        self.component = built.component
        self.document = document
        self.report = report
        self.own = built.component.drain_seconds
        self.drain = spec.runtime.drain_seconds if self.own is None else self.own
        self.is_fargate = built.component.launch_type is LaunchType.FARGATE

    def run(self) -> None:
        if self.own is not None and self.is_fargate and self.own > MAX_FARGATE_DRAIN_SECONDS:
            self.report.warn(
                self.document,
                (*self.built.path, "drainSeconds"),
                f"drainSeconds {self.own:g} is cut short: {_FARGATE_LIMIT}",
                f"lower it to {MAX_FARGATE_DRAIN_SECONDS}, or run {self.component.name} on EC2, "
                "where stopTimeout has no such limit",
            )
        for index in self.built.dynamo:
            if self.own is None:
                self._stop_timeout(index)
            for name in drain_variables(self.component):
                self._variable(index, name)
        self._longest_request()

    def _stop_timeout(self, index: int) -> None:
        """Compare ``stopTimeout`` with the graph's drain time, which does not raise it."""
        timeout = self.built.containers[index].get("stopTimeout")
        if (timeout if timeout is not None else DEFAULT_STOP_SECONDS) >= self.drain:
            return
        declared = f"stopTimeout {timeout}" if timeout is not None else "no stopTimeout (30 s)"
        if self.is_fargate and self.drain > MAX_FARGATE_STOP_SECONDS:
            remedy = f"lower runtime.drainSeconds to {MAX_FARGATE_DRAIN_SECONDS}: {_FARGATE_LIMIT}"
        else:
            remedy = (
                f"set stopTimeout to {max(math.ceil(self.drain), 2)} or more, or declare "
                f"drainSeconds of {self.component.name}, which raises it"
            )
        self.report.warn(
            self.built.definition.document,
            self.built.definition.at(CONTAINERS, index, "stopTimeout"),
            f"{self.component.name}: {declared}, but runtime.drainSeconds is {self.drain:g}: "
            "requests in flight may be cut off",
            remedy,
        )

    def _variable(self, index: int, name: str) -> None:
        """Check a drain variable that the user sets."""
        container = self.built.containers[index]
        text = variable_value(container, name)
        if text is None:
            return
        seconds = parse_seconds(name, text)
        if seconds is None:
            kind = "a number" if name == GRACE_VARIABLE else "a whole number"
            message = (
                f"{name} {text!r} is not {kind} of seconds: Dynamo ignores it without an error"
            )
            self._warn_variable(index, name, message, "correct it, or remove it")
            return
        timeout = container.get("stopTimeout")
        timeout = DEFAULT_STOP_SECONDS if timeout is None else timeout
        limit = MAX_FARGATE_STOP_SECONDS if self.is_fargate else math.inf
        if seconds >= limit or (self.own is None and seconds >= timeout):
            ends = limit if seconds >= limit else timeout
            needed = math.ceil(seconds) + STOP_MARGIN_SECONDS
            remedy = (
                f"set it to {MAX_FARGATE_DRAIN_SECONDS} or less"
                if needed > limit
                else f"set stopTimeout to {needed} or more"
            )
            message = f"{name} is {text}, but ECS ends the container {ends:g} s after SIGTERM"
            self._warn_variable(index, name, message, remedy)
        elif self.own is not None and math.ceil(seconds) != math.ceil(self.own):
            message = f"{name} is {text}, which has precedence over drainSeconds {self.own:g}"
            remedy = f"remove it, or set drainSeconds to {text}"
            self._warn_variable(index, name, message, remedy)

    def _warn_variable(self, index: int, name: str, message: str, remedy: str) -> None:
        """Report a problem where the variable is written: under ``env``, or in the task's file."""
        declared = self.built.declared_in(self.spec)
        message = f"{self.component.name}: {message}"
        if declared is not None and name in declared.env:
            self.report.warn(self.document, (*self.built.path, "env", name), message, remedy)
            return
        definition = self.built.definition
        path = definition.at(CONTAINERS, index, "environment")
        self.report.warn(definition.document, path, message, remedy)

    def _longest_request(self) -> None:
        """Compare the drain time with the longest request, where the user states that."""
        longest, component = self.spec.runtime.longest_request_seconds, self.component
        if longest is None or not (component.is_worker or component.is_frontend):
            return
        allowed = min(self.drain, MAX_FARGATE_DRAIN_SECONDS) if self.is_fargate else self.drain
        if longest <= allowed:
            return
        if self.is_fargate and longest > MAX_FARGATE_DRAIN_SECONDS:
            remedy = (
                f"run {component.name} on EC2 with drainSeconds {longest:g}, since on Fargate a "
                f"replica has at most {MAX_FARGATE_DRAIN_SECONDS} s"
            )
        else:
            remedy = f"set drainSeconds of {component.name} to {longest:g}"
        if component.is_worker:
            remedy += (
                ", or start the frontend with --migration-limit, so that requests continue on "
                "another worker (not those with n above 1 or guided decoding)"
            )
        written = self.own is not None
        path: FieldPath = (*self.built.path, "drainSeconds") if written else self.built.path
        self.report.warn(
            self.document,
            path,
            f"a replica of {component.name} that stops has {allowed:g} s to finish its requests, "
            f"but runtime.longestRequestSeconds is {longest:g}: longer requests fail",
            remedy,
        )
