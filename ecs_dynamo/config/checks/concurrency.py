"""Warnings about policy ``slo``: an unknown concurrency of replicas, and targets without effect.

Scaling works without a known concurrency, because it learns it. It then starts from an assumption.
"""

from __future__ import annotations

from typing import Final

from ecs_dynamo.config.build.components import BuiltComponent
from ecs_dynamo.config.reading.document import Document, FieldPath
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.dynamo.engine_limits import LIMIT_FLAGS, engine_limit
from ecs_dynamo.model.graph import DECODING_ROLES, Component
from ecs_dynamo.model.spec.scaling import SloScaling

_UNKNOWN: Final = "concurrency (requests that a replica works on at once)"
_FLAGS: Final = f"{', '.join(LIMIT_FLAGS[:-1])} or {LIMIT_FLAGS[-1]}"


def check_concurrency(components: list[BuiltComponent], document: Document, report: Report) -> None:
    """Warn of components whose concurrency is unknown, and of latency targets without effect."""
    for built in components:
        scaling, path = built.component.scaling, (*built.path, "scaling")
        if not isinstance(scaling, SloScaling):
            continue
        if built.component.roles & DECODING_ROLES:
            _check_known(built.component, scaling, path, document, report)
        else:
            _check_unused(scaling, path, document, report)


def _check_known(
    component: Component, scaling: SloScaling, path: FieldPath, document: Document, report: Report
) -> None:
    by_latency = scaling.target_itl_seconds is not None
    if scaling.concurrency is not None or by_latency or engine_limit(component) is not None:
        return
    sources = {s.source for s in scaling.signals}
    if sources == {"planner"}:
        return
    if "frontend" in sources:
        report.warn(
            document,
            path,
            f"{_UNKNOWN} is learned: in the first hour there may be more replicas than necessary",
            f"declare concurrency or targetItlSeconds, or start the engine with {_FLAGS}",
        )
        return
    report.warn(
        document,
        path,
        f"{_UNKNOWN} cannot be learned from these signals: 8 is assumed",
        f"declare concurrency, start the engine with {_FLAGS}, or add the signal "
        "{source: frontend}",
    )


def _check_unused(scaling: SloScaling, path: FieldPath, document: Document, report: Report) -> None:
    for key, value in (
        ("targetItlSeconds", scaling.target_itl_seconds),
        ("itlModel", scaling.itl_model),
        ("kvTokens", scaling.kv_tokens),
    ):
        if value is not None:
            message = f"{key} applies to decode and aggregated workers only: it has no effect here"
            report.warn(document, (*path, key), message, "remove it")
