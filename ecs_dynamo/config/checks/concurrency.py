"""Warnings about policy ``slo`` where the concurrency of replicas is not known.

Scaling works without that, because it is learned. It then begins with an assumption.
"""

from __future__ import annotations

from typing import Final

from ecs_dynamo.config.build.components import BuiltComponent
from ecs_dynamo.config.reading.document import Document
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.dynamo.engine_limits import LIMIT_FLAGS, engine_limit
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.spec.scaling import SloScaling

_FLAGS: Final = f"{', '.join(LIMIT_FLAGS[:-1])} or {LIMIT_FLAGS[-1]}"


def check_concurrency(components: list[BuiltComponent], document: Document, report: Report) -> None:
    """Warn of components whose concurrency is unknown, and of latency targets without effect."""
    for built in components:
        if isinstance(built.component.scaling, SloScaling):
            _check(built, built.component.scaling, document, report)


def _check(built: BuiltComponent, scaling: SloScaling, document: Document, report: Report) -> None:
    path = (*built.path, "scaling")
    decodes = bool(built.component.roles & {Role.DECODE, Role.WORKER})
    if not decodes:
        for key, value in (
            ("targetItlSeconds", scaling.target_itl_seconds),
            ("itlModel", scaling.itl_model),
            ("kvTokens", scaling.kv_tokens),
        ):
            if value is not None:
                message = f"{key} is for decode and aggregated workers: it has no effect"
                report.warn(document, (*path, key), message, "remove it")
        return
    by_latency = scaling.target_itl_seconds is not None
    if scaling.concurrency is not None or by_latency or engine_limit(built.component) is not None:
        return
    sources = {s.source for s in scaling.signals}
    if sources == {"planner"}:
        return
    if "frontend" in sources:
        report.warn(
            document,
            path,
            "concurrency (requests that a replica works on at once) is learned: in the first hour "
            "there may be more replicas than necessary",
            f"declare concurrency or targetItlSeconds, or start the engine with {_FLAGS}",
        )
        return
    report.warn(
        document,
        path,
        "concurrency (requests that a replica works on at once) cannot be learned from these "
        "signals: 8 is assumed",
        f"declare concurrency, start the engine with {_FLAGS}, or add the signal "
        "{source: frontend}",
    )
