"""The controller: observe, plan and act, once for `reconcile` and continuously for `run`."""

from ecs_dynamo.controller.daemon.run import run_daemon
from ecs_dynamo.controller.reconcile.namespaces import observe_namespaces
from ecs_dynamo.controller.reconcile.reconciler import (
    Pass,
    Reconciler,
    aws_options,
    open_reconciler,
)
from ecs_dynamo.controller.reconcile.rollback import (
    RolledBack,
    clear_rollback,
    roll_back,
)
from ecs_dynamo.controller.telemetry.logs import configure_logging
from ecs_dynamo.controller.telemetry.status import (
    document,
    pass_status,
    plan_document,
)

__all__ = [
    "Pass",
    "Reconciler",
    "RolledBack",
    "aws_options",
    "clear_rollback",
    "configure_logging",
    "document",
    "observe_namespaces",
    "open_reconciler",
    "pass_status",
    "plan_document",
    "roll_back",
    "run_daemon",
]
