"""Task definitions that violate rules of health checks, restarts, placement, and logs."""

from __future__ import annotations

from typing import Any

from tests.unit.definitions.builders import Json, container, ec2
from tests.unit.definitions.invalid.base import SECOND, InvalidDefinition, changed, with_container


def _health_check(**members: Any) -> Json:
    return {"command": ["CMD", "true"], **members}


OPTIONS: list[InvalidDefinition] = [
    InvalidDefinition(
        "placement-constraints",
        changed(ec2(), placementConstraints=[{"type": "memberOf"}]),
        "placementConstraints[0]",
    ),
    InvalidDefinition(
        "placement-constraints",
        changed(
            ec2(),
            placementConstraints=[
                {"type": "memberOf", "expression": f"attribute:a == {n}"} for n in range(11)
            ],
        ),
        "placementConstraints",
    ),
    with_container(
        ec2, "healthCheck.command", "health-command", healthCheck={"command": ["curl", "x"]}
    ),
    with_container(ec2, "healthCheck.command", "health-command", healthCheck={"command": ["CMD"]}),
    *(
        with_container(ec2, f"healthCheck.{key}", rule, healthCheck=_health_check(**{key: value}))
        for rule, key, values in (
            ("health-interval", "interval", (4, 301)),
            ("health-timeout", "timeout", (1, 61)),
            ("health-retries", "retries", (0, 11)),
            ("health-start-period", "startPeriod", (-1, 900)),
        )
        for value in values
    ),
    with_container(
        ec2,
        "restartPolicy.restartAttemptPeriod",
        "restart-period",
        restartPolicy={"enabled": True, "restartAttemptPeriod": 59},
    ),
    with_container(
        ec2,
        "restartPolicy.ignoredExitCodes",
        "restart-exit-codes",
        restartPolicy={"enabled": True, "ignoredExitCodes": list(range(51))},
    ),
    with_container(
        ec2,
        "logConfiguration",
        "awslogs-options",
        logConfiguration={"logDriver": "awslogs", "options": {"awslogs-group": "g"}},
    ),
    with_container(
        ec2,
        "logConfiguration.logDriver",
        "firelens-router",
        logConfiguration={"logDriver": "awsfirelens"},
    ),
    InvalidDefinition(
        "firelens-one-router",
        ec2(
            container(firelensConfiguration={"type": "fluentbit"}),
            container("b", firelensConfiguration={"type": "fluentd"}),
        ),
        f"{SECOND}.firelensConfiguration",
    ),
    with_container(ec2, "credentialSpecs", "credential-specs", credentialSpecs=["a", "b"]),
    InvalidDefinition(
        "inference-accelerators",
        changed(ec2(), inferenceAccelerators=[{"deviceName": "d", "deviceType": "eia2.medium"}]),
        "inferenceAccelerators",
    ),
]
