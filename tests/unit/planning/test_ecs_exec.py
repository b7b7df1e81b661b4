"""ECS Exec as a setting of services."""

from __future__ import annotations

from ecs_dynamo.model.service_settings import (
    ServiceSettings,
)
from ecs_dynamo.planning import plan
from tests.helpers.changed_services import declared, updates
from tests.helpers.convergence import converged, run_pass


def test_ecs_exec_is_created_and_switched_on_and_off_without_a_rollout() -> None:
    ecs, memory = converged(declared(enable_execute_command=True))
    assert ecs.services["g-frontend"].settings.enable_execute_command is True
    assert ecs.services["g-decode"].settings.enable_execute_command is False
    (task,) = ecs.services["g-frontend"].tasks
    for enabled, word in ((False, "off"), (True, "on")):
        declared_graph = declared(enable_execute_command=enabled)
        result = run_pass(ecs, declared_graph, memory)
        memory = result.memory
        (update,) = updates(result)
        assert update.settings == ServiceSettings(enable_execute_command=enabled)
        assert update.reason == f"ECS Exec {word} (for tasks that start from now on)"
        assert not plan(declared_graph, ecs.snapshot(), memory, ecs.clock).actions
    assert ecs.services["g-frontend"].tasks == [task]
