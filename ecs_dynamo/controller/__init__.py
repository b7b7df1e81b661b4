"""The controller: observe, plan and act, once for `reconcile` and continuously for `run`."""

from ecs_dynamo.controller.daemon.run import run_daemon
from ecs_dynamo.controller.reconcile.reconciler import (
    Pass,
    Reconciler,
    open_reconciler,
)
from ecs_dynamo.controller.telemetry.logs import configure_logging
from ecs_dynamo.controller.telemetry.status import (
    pass_status,
    plan_document,
)

__all__ = [
    "Pass",
    "Reconciler",
    "configure_logging",
    "open_reconciler",
    "pass_status",
    "plan_document",
    "run_daemon",
]
