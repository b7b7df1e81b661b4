"""Good task definitions, and for every rule of the table ones that break it.

The shapes of the good ones are those of AWS's documentation (developer guide, example task
definitions).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
ROLE = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf"
LOGS: Json = {
    "logDriver": "awslogs",
    "options": {
        "awslogs-group": "/ecs/app",
        "awslogs-region": "us-east-1",
        "awslogs-stream-prefix": "ecs",
    },
}


def container(name: str = "app", **more: Any) -> Json:
    return {"name": name, "image": "example.com/app:1", "memory": 256, **more}


def ec2(*containers: Json, mode: str = "host", **more: Any) -> Json:
    return {
        "family": "app",
        "requiresCompatibilities": ["EC2"],
        "networkMode": mode,
        "executionRoleArn": ROLE,
        "containerDefinitions": list(containers) or [container()],
        **more,
    }


def fargate(*containers: Json, **more: Any) -> Json:
    made = ec2(*containers, mode="awsvpc", cpu="256", memory="512", **more)
    return {**made, "requiresCompatibilities": ["FARGATE"], **more}


GOOD: dict[str, Json] = {
    "smallest": {"family": "a", "containerDefinitions": [container()]},
    "ec2 host": ec2(container(portMappings=[{"containerPort": 8000, "hostPort": 8000}])),
    "bridge with dynamic ports": ec2(
        container(portMappings=[{"containerPort": 80, "hostPort": 0}, {"containerPort": 81}]),
        mode="bridge",
    ),
    "port range": ec2(
        container(
            portMappings=[{"containerPort": 8000}, {"containerPortRange": "100-110"}],
        ),
        mode="bridge",
    ),
    "one port with two protocols": ec2(
        container(
            portMappings=[
                {"containerPort": 53, "protocol": "tcp"},
                {"containerPort": 53, "protocol": "udp"},
            ]
        )
    ),
    "web server on Fargate": fargate(
        container(
            image="public.ecr.aws/docker/library/httpd:latest",
            entryPoint=["sh", "-c"],
            command=["/bin/sh -c 'httpd-foreground'"],
            logConfiguration=LOGS,
            portMappings=[{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}],
        )
    ),
    "Fargate's sizes in words": {**fargate(), "cpu": ".5 vCPU", "memory": "1GB"},
    "Fargate's largest": {**fargate(), "cpu": "16 vcpu", "memory": "120 GB"},
    "secrets": fargate(
        container(
            secrets=[{"name": "TOKEN", "valueFrom": SECRET}, {"name": "K", "valueFrom": "/team/k"}],
            environment=[{"name": "OTHER", "value": "x"}, {"name": "EMPTY"}],
            repositoryCredentials={"credentialsParameter": SECRET},
        )
    ),
    "app mesh": ec2(
        container(
            "app",
            dependsOn=[
                {"containerName": "envoy", "condition": "HEALTHY"},
                {"containerName": "init", "condition": "SUCCESS"},
            ],
        ),
        container(
            "envoy",
            healthCheck={
                "command": ["CMD-SHELL", "curl -s http://localhost:9901/ready"],
                "interval": 5,
                "timeout": 2,
                "retries": 10,
                "startPeriod": 300,
            },
        ),
        container("init", essential=False),
        mode="awsvpc",
    ),
    "firelens": fargate(
        container("router", firelensConfiguration={"type": "fluentbit"}, memory=100),
        container(logConfiguration={"logDriver": "awsfirelens", "options": {"Name": "firehose"}}),
    ),
    "efs": fargate(
        container(mountPoints=[{"sourceVolume": "data", "containerPath": "/data"}]),
        volumes=[
            {
                "name": "data",
                "efsVolumeConfiguration": {
                    "fileSystemId": "fs-1234",
                    "rootDirectory": "/",
                    "transitEncryption": "ENABLED",
                    "transitEncryptionPort": 2049,
                    "authorizationConfig": {"accessPointId": "fsap-1234", "iam": "ENABLED"},
                },
            }
        ],
    ),
    "gpu worker": ec2(
        container(
            memory=None,
            memoryReservation=100,
            privileged=True,
            resourceRequirements=[{"type": "GPU", "value": "1"}],
            ulimits=[
                {"name": "memlock", "softLimit": -1, "hardLimit": -1},
                {"name": "nofile", "softLimit": 1024, "hardLimit": 4096},
            ],
            linuxParameters={
                "capabilities": {"add": ["IPC_LOCK"]},
                "sharedMemorySize": 1024,
                "devices": [{"hostPath": "/dev/infiniband"}],
                "tmpfs": [{"containerPath": "/t", "size": 64, "mountOptions": ["noexec"]}],
                "maxSwap": 0,
                "swappiness": 0,
            },
            systemControls=[{"namespace": "net.core.somaxconn", "value": "1"}],
            mountPoints=[{"sourceVolume": "models", "containerPath": "/models"}],
            stopTimeout=600,
            startTimeout=900,
        ),
        volumes=[{"name": "models", "host": {"sourcePath": "/mnt"}}, {"name": "scratch"}],
        placementConstraints=[
            {"type": "memberOf", "expression": "attribute:ecs.instance-type =~ g5.*"}
        ],
        taskRoleArn="dynamo-task",
        memory="2 GB",
    ),
    "all GPUs": ec2(container(resourceRequirements=[{"type": "GPU", "value": "ALL"}])),
    "a part of a GPU": ec2(container(resourceRequirements=[{"type": "GPU", "value": "0.25"}])),
    "links": ec2(container(links=["db:database"]), container("db"), mode="bridge"),
    "image by digest": ec2(container(image="example.com/app@sha256:" + "0aF" * 21 + "0")),
}
"""By what each shows."""

GOOD["app mesh"]["proxyConfiguration"] = {
    "type": "APPMESH",
    "containerName": "envoy",
    "properties": [
        {"name": "AppPorts", "value": "9080"},
        {"name": "ProxyIngressPort", "value": "15000"},
        {"name": "ProxyEgressPort", "value": "15001"},
        {"name": "IgnoredUID", "value": "1337"},
    ],
}
for _definition in GOOD.values():
    for _container in _definition["containerDefinitions"]:
        if _container.get("memory", 0) is None:
            del _container["memory"]


@dataclass(frozen=True)
class Bad:
    """A task definition that breaks ``rule`` at ``field``, and nothing else."""

    rule: str
    definition: Json
    field: str


def _on(base: Json, **more: Any) -> Json:
    made = copy.deepcopy(base)
    made.update(more)
    return made


def _variant(base: Callable[..., Json], field: str, rule: str, **more: Any) -> Bad:
    return Bad(rule, base(container(**more)), f"containerDefinitions[0].{field}")


def _health(**more: Any) -> Json:
    return {"command": ["CMD", "true"], **more}


def _efs(**more: Any) -> Json:
    return ec2(
        mode="awsvpc",
        volumes=[{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1", **more}}],
    )


def _linux(**more: Any) -> Json:
    return {"linuxParameters": more}


def _depends(target: str, condition: str) -> Json:
    return {"dependsOn": [{"containerName": target, "condition": condition}]}


def _ports(*mappings: Json) -> Json:
    return {"portMappings": list(mappings)}


def _bridge(*containers: Json, **more: Any) -> Json:
    return ec2(*containers, mode="bridge", **more)


def _awsvpc(*containers: Json, **more: Any) -> Json:
    return ec2(*containers, mode="awsvpc", **more)


def _proxy(container_name: str = "app", without: str = "") -> Json:
    given = {"AppPorts": "80", "ProxyIngressPort": "15000", "ProxyEgressPort": "15001"}
    given |= {"IgnoredUID": "1337", "EgressIgnoredIPs": "169.254.170.2"}
    return {
        "type": "APPMESH",
        "containerName": container_name,
        "properties": [{"name": k, "value": v} for k, v in given.items() if k != without],
    }


def _without_role(made: Json) -> Json:
    return {k: v for k, v in made.items() if k != "executionRoleArn"}


_C0 = "containerDefinitions[0]"
_C1 = "containerDefinitions[1]"

BAD: list[Bad] = [
    Bad("family", _on(ec2(), family="<your family>"), "family"),
    Bad("family", _on(ec2(), family="a" * 256), "family"),
    Bad("containers-required", _on(ec2(), containerDefinitions=[]), "containerDefinitions"),
    Bad("container-name-required", ec2(container("")), f"{_C0}.name"),
    Bad("container-image-required", ec2(container(image="")), f"{_C0}.image"),
    Bad("container-names-unique", ec2(container(), container()), f"{_C1}.name"),
    Bad(
        "containers-most",
        ec2(*(container(f"c{n}") for n in range(11))),
        "containerDefinitions",
    ),
    Bad("container-name", ec2(container("<your task name>")), f"{_C0}.name"),
    *(
        Bad("container-image", ec2(container(image=image)), f"{_C0}.image")
        for image in (
            "$REGISTRY/app:$TAG",
            "{{ must_env `REPO` }}:1",
            "<IMAGE1_NAME>",
            "example.com/app:1 ",
            "example.com/app@sha256:abc",
            "a" * 256,
        )
    ),
    Bad("essential-container", ec2(container(essential=False)), "containerDefinitions"),
    _variant(ec2, "environment[0]", "environment-name-required", environment=[{"value": "x"}]),
    _variant(
        ec2,
        "environment[0]",
        "environment-name-required",
        environment=[{"name": "", "value": "x"}],
    ),
    _variant(
        ec2, "environment[0].name", "environment-name", environment=[{"name": "A=B", "value": "x"}]
    ),
    _variant(
        ec2,
        "secrets[0]",
        "secret-name-required",
        secrets=[{"name": "", "valueFrom": SECRET}],
    ),
    _variant(
        ec2,
        "secrets[0]",
        "secret-name-unique",
        environment=[{"name": "DB_PASSWORD", "value": "x"}],
        secrets=[{"name": "DB_PASSWORD", "valueFrom": SECRET}],
    ),
    _variant(
        ec2,
        "secrets[1]",
        "secret-name-unique",
        secrets=[{"name": "A", "valueFrom": SECRET}, {"name": "A", "valueFrom": "/a"}],
    ),
    _variant(ec2, "secrets[0]", "secret-source", secrets=[{"name": "A", "valueFrom": ""}]),
    Bad(
        "execution-role-for-secrets",
        _without_role(ec2(container(secrets=[{"name": "A", "valueFrom": "/a"}]))),
        f"{_C0}.secrets",
    ),
    Bad(
        "execution-role-for-secrets",
        _without_role(ec2(container(repositoryCredentials={"credentialsParameter": SECRET}))),
        f"{_C0}.repositoryCredentials",
    ),
    Bad("role", _on(ec2(), taskRoleArn="arn:aws:iam::1:role/x"), "taskRoleArn"),
    Bad("role", _on(ec2(), executionRoleArn="<role>"), "executionRoleArn"),
    _variant(
        ec2,
        "environmentFiles",
        "environment-files-most",
        environmentFiles=[{"type": "s3", "value": f"arn:aws:s3:::b/{n}.env"} for n in range(11)],
    ),
    _variant(
        ec2,
        "environmentFiles[0].value",
        "environment-file",
        environmentFiles=[{"type": "s3", "value": "s3://b/x.env"}],
    ),
    _variant(
        ec2, "dependsOn[0].containerName", "dependency-unknown", **_depends("nobody", "START")
    ),
    Bad(
        "dependency-essential",
        ec2(container(**_depends("init", "SUCCESS")), container("init")),
        f"{_C0}.dependsOn[0].condition",
    ),
    Bad(
        "dependency-essential",
        ec2(container(**_depends("init", "COMPLETE")), container("init")),
        f"{_C0}.dependsOn[0].condition",
    ),
    Bad(
        "dependency-health",
        ec2(container(**_depends("b", "HEALTHY")), container("b")),
        f"{_C0}.dependsOn[0].condition",
    ),
    Bad(
        "dependency-cycle",
        ec2(container(**_depends("b", "START")), container("b", **_depends("app", "START"))),
        f"{_C0}.dependsOn[0].containerName",
    ),
    _variant(ec2, "dependsOn[0].containerName", "dependency-cycle", **_depends("app", "START")),
    _variant(_bridge, "links[0]", "link-unknown", links=["db:x"]),
    Bad(
        "link-cycle",
        _bridge(container(links=["b"]), container("b", links=["app"])),
        f"{_C0}.links[0]",
    ),
    Bad(
        "placement-constraints",
        _on(ec2(), placementConstraints=[{"type": "memberOf"}]),
        "placementConstraints[0]",
    ),
    Bad(
        "placement-constraints",
        _on(
            ec2(),
            placementConstraints=[
                {"type": "memberOf", "expression": f"attribute:a == {n}"} for n in range(11)
            ],
        ),
        "placementConstraints",
    ),
    _variant(ec2, "healthCheck.command", "health-command", healthCheck={"command": ["curl", "x"]}),
    _variant(ec2, "healthCheck.command", "health-command", healthCheck={"command": ["CMD"]}),
    *(
        _variant(ec2, f"healthCheck.{key}", rule, healthCheck=_health(**{key: value}))
        for rule, key, values in (
            ("health-interval", "interval", (4, 301)),
            ("health-timeout", "timeout", (1, 61)),
            ("health-retries", "retries", (0, 11)),
            ("health-start-period", "startPeriod", (-1, 900)),
        )
        for value in values
    ),
    _variant(
        ec2,
        "restartPolicy.restartAttemptPeriod",
        "restart-period",
        restartPolicy={"enabled": True, "restartAttemptPeriod": 59},
    ),
    _variant(
        ec2,
        "restartPolicy.ignoredExitCodes",
        "restart-exit-codes",
        restartPolicy={"enabled": True, "ignoredExitCodes": list(range(51))},
    ),
    *(
        Bad("cpu", _on(ec2(), cpu=value), "cpu")
        for value in ("0", "-1", "127", "200000", "one vCPU", ".1001 vCPU", "")
    ),
    *(
        Bad("memory", _on(ec2(), memory=value), "memory")
        for value in ("-5", "0", "3", "two", "0.3 GB", "GB", "1 TB")
    ),
    _variant(ec2, "memory", "container-memory", memory=-5),
    _variant(ec2, "memoryReservation", "container-memory", memoryReservation=3),
    Bad(
        "memory-required",
        ec2({"name": "app", "image": "a"}),
        "containerDefinitions[0]",
    ),
    _variant(ec2, "memoryReservation", "memory-reservation", memory=256, memoryReservation=257),
    Bad("container-memory-above-task", _on(ec2(), memory="255"), f"{_C0}.memory"),
    Bad(
        "reserved-memory-above-task",
        _on(
            ec2(container(memoryReservation=200), container("b", memoryReservation=200)),
            memory="0.25 GB",
        ),
        "memory",
    ),
    _variant(ec2, "stopTimeout", "stopTimeout-least", stopTimeout=1),
    _variant(ec2, "startTimeout", "startTimeout-least", startTimeout=0),
    _variant(fargate, "stopTimeout", "fargate-stopTimeout", stopTimeout=121),
    _variant(fargate, "stopTimeout", "fargate-stopTimeout", stopTimeout=1),
    _variant(fargate, "startTimeout", "fargate-startTimeout", startTimeout=121),
    Bad("fargate-size-required", {k: v for k, v in fargate().items() if k != "cpu"}, "cpu"),
    Bad("fargate-size-required", {k: v for k, v in fargate().items() if k != "memory"}, "memory"),
    Bad("fargate-cpu", _on(fargate(), cpu="128"), "cpu"),
    Bad("fargate-cpu", _on(fargate(), cpu="32 vCPU"), "cpu"),
    Bad("fargate-memory", _on(fargate(), cpu="1 vCPU", memory="16 GB"), "memory"),
    Bad("fargate-memory", _on(fargate(), cpu="1024", memory="16384"), "memory"),
    Bad("fargate-memory", _on(fargate(), cpu="8192", memory="17408"), "memory"),
    Bad("fargate-cpu-sum", fargate(container(cpu=257)), "cpu"),
    _variant(
        ec2,
        "linuxParameters.swappiness",
        "swappiness",
        **_linux(swappiness=101, maxSwap=1),
    ),
    *(
        _variant(
            ec2,
            "portMappings[0].containerPort",
            "container-port",
            **_ports({"containerPort": port}),
        )
        for port in (0, -1, 65_536, 99_999)
    ),
    _variant(
        _bridge,
        "portMappings[0].hostPort",
        "host-port",
        **_ports({"containerPort": 80, "hostPort": 65_536}),
    ),
    _variant(ec2, "portMappings[0]", "port-required", **_ports({"protocol": "tcp"})),
    _variant(
        ec2,
        "portMappings[0].hostPort",
        "host-port-differs",
        **_ports({"containerPort": 80, "hostPort": 81}),
    ),
    *(
        _variant(
            _awsvpc,
            "portMappings[0].containerPortRange",
            "port-range",
            **_ports({"containerPortRange": text}),
        )
        for text in ("10010-10000", "80-80", "0-10", "1-65536", "a-b", "80")
    ),
    _variant(
        ec2,
        "portMappings[1].containerPortRange",
        "port-range-mode",
        **_ports({"containerPort": 8000}, {"containerPortRange": "10000-10010", "protocol": "udp"}),
    ),
    _variant(
        _awsvpc,
        "portMappings[0].containerPort",
        "port-range-alone",
        **_ports({"containerPort": 8000, "containerPortRange": "10000-10010"}),
    ),
    _variant(
        _awsvpc,
        "portMappings",
        "port-ranges-most",
        **_ports(*({"containerPortRange": f"{n}0-{n}1"} for n in range(100, 201))),
    ),
    _variant(
        _bridge,
        "portMappings[1]",
        "port-twice",
        **_ports({"containerPortRange": "100-110"}, {"containerPortRange": "110-120"}),
    ),
    Bad(
        "port-twice",
        _awsvpc(
            container(**_ports({"containerPort": 80})),
            container("b", **_ports({"containerPort": 80})),
        ),
        f"{_C1}.portMappings[0]",
    ),
    Bad(
        "host-port-twice",
        _bridge(
            container(**_ports({"containerPort": 80, "hostPort": 80})),
            container("b", **_ports({"containerPort": 81, "hostPort": 80})),
        ),
        f"{_C1}.portMappings[0].hostPort",
    ),
    _variant(
        ec2,
        "portMappings[0].name",
        "port-name",
        **_ports({"containerPort": 80, "name": "HTTP"}),
    ),
    _variant(
        ec2,
        "portMappings[1].name",
        "port-name-twice",
        **_ports({"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}),
    ),
    Bad(
        "no-network-ports",
        ec2(container(**_ports({"containerPort": 80})), mode="none"),
        f"{_C0}.portMappings",
    ),
    Bad(
        "links-mode",
        ec2(container(links=["b"]), container("b")),
        f"{_C0}.links",
    ),
    Bad(
        "awsvpc-links",
        _awsvpc(container(links=["b"]), container("b")),
        f"{_C0}.links",
    ),
    *(
        _variant(_awsvpc, key, f"awsvpc-{key}", **{key: value})
        for key, value in (
            ("hostname", "h"),
            ("extraHosts", [{"hostname": "h", "ipAddress": "10.0.0.1"}]),
            ("dnsServers", ["10.0.0.2"]),
            ("dnsSearchDomains", ["example.com"]),
            ("disableNetworking", True),
        )
    ),
    Bad("volume-name", _on(ec2(), volumes=[{"name": "a b"}]), "volumes[0]"),
    Bad("volume-name", _on(ec2(), volumes=[{"host": {}}]), "volumes[0]"),
    Bad(
        "volume-names-unique",
        _on(ec2(), volumes=[{"name": "v"}, {"name": "v"}]),
        "volumes[1].name",
    ),
    Bad(
        "volume-kind",
        _on(
            ec2(),
            volumes=[
                {
                    "name": "v",
                    "host": {"sourcePath": "/a"},
                    "efsVolumeConfiguration": {"fileSystemId": "fs-1"},
                }
            ],
        ),
        "volumes[0]",
    ),
    _variant(
        ec2,
        "mountPoints[0]",
        "volume-unknown",
        mountPoints=[{"sourceVolume": "models", "containerPath": "/models"}],
    ),
    Bad(
        "mount-path",
        _on(ec2(container(mountPoints=[{"sourceVolume": "v"}])), volumes=[{"name": "v"}]),
        f"{_C0}.mountPoints[0]",
    ),
    _variant(
        ec2, "volumesFrom[0]", "volumes-from-unknown", volumesFrom=[{"sourceContainer": "other"}]
    ),
    Bad(
        "volume-configured-at-launch",
        _awsvpc(
            container(mountPoints=[{"sourceVolume": "scratch", "containerPath": "/scratch"}]),
            volumes=[{"name": "scratch", "configuredAtLaunch": True}],
        ),
        "volumes[0].configuredAtLaunch",
    ),
    Bad(
        "efs-root-directory",
        _efs(
            rootDirectory="/x",
            transitEncryption="ENABLED",
            authorizationConfig={"accessPointId": "fsap-1"},
        ),
        "volumes[0].efsVolumeConfiguration.rootDirectory",
    ),
    Bad(
        "efs-encryption",
        _efs(authorizationConfig={"iam": "ENABLED"}),
        "volumes[0].efsVolumeConfiguration",
    ),
    Bad(
        "efs-port",
        _efs(transitEncryptionPort=2049),
        "volumes[0].efsVolumeConfiguration.transitEncryptionPort",
    ),
    Bad(
        "docker-autoprovision",
        _on(
            ec2(),
            volumes=[{"name": "v", "dockerVolumeConfiguration": {"autoprovision": True}}],
        ),
        "volumes[0].dockerVolumeConfiguration.autoprovision",
    ),
    *(
        Bad(
            "ephemeral-storage",
            _on(fargate(), ephemeralStorage={"sizeInGiB": size}),
            "ephemeralStorage.sizeInGiB",
        )
        for size in (20, 201)
    ),
    _variant(
        ec2,
        "logConfiguration",
        "awslogs-options",
        logConfiguration={"logDriver": "awslogs", "options": {"awslogs-group": "g"}},
    ),
    _variant(
        ec2,
        "logConfiguration.logDriver",
        "firelens-router",
        logConfiguration={"logDriver": "awsfirelens"},
    ),
    Bad(
        "firelens-one-router",
        ec2(
            container(firelensConfiguration={"type": "fluentbit"}),
            container("b", firelensConfiguration={"type": "fluentd"}),
        ),
        f"{_C1}.firelensConfiguration",
    ),
    _variant(
        ec2,
        "ulimits[0].softLimit",
        "ulimit",
        ulimits=[{"name": "nofile", "softLimit": 4097, "hardLimit": 4096}],
    ),
    _variant(
        ec2,
        "linuxParameters.capabilities.add[0]",
        "capability",
        **_linux(capabilities={"add": ["CAP_IPC_LOCK"]}),
    ),
    _variant(
        ec2,
        "linuxParameters.tmpfs[0].size",
        "tmpfs",
        **_linux(tmpfs=[{"containerPath": "/t", "size": 0}]),
    ),
    _variant(
        ec2,
        "linuxParameters.tmpfs[0].mountOptions",
        "tmpfs",
        **_linux(tmpfs=[{"containerPath": "/t", "size": 1, "mountOptions": ["fast"]}]),
    ),
    _variant(
        ec2, "linuxParameters.sharedMemorySize", "linux-memory", **_linux(sharedMemorySize=-1)
    ),
    _variant(ec2, "linuxParameters.maxSwap", "linux-memory", **_linux(maxSwap=-1)),
    _variant(
        ec2,
        "linuxParameters.devices[0].hostPath",
        "device-path",
        **_linux(devices=[{"hostPath": ""}]),
    ),
    _variant(
        ec2,
        "systemControls[0]",
        "system-control",
        systemControls=[{"namespace": "vm.swappiness", "value": "1"}],
    ),
    Bad(
        "system-control-ipc",
        _on(
            ec2(container(systemControls=[{"namespace": "kernel.shmmax", "value": "1"}])),
            ipcMode="host",
        ),
        f"{_C0}.systemControls[0]",
    ),
    _variant(ec2, "credentialSpecs", "credential-specs", credentialSpecs=["a", "b"]),
    Bad(
        "inference-accelerators",
        _on(ec2(), inferenceAccelerators=[{"deviceName": "d", "deviceType": "eia2.medium"}]),
        "inferenceAccelerators",
    ),
    Bad("fargate-network-mode", _on(fargate(), networkMode="host"), "networkMode"),
    Bad(
        "fargate-network-mode",
        _on(ec2(), cpu="256", memory="512", requiresCompatibilities=["EC2", "FARGATE"]),
        "networkMode",
    ),
    Bad(
        "fargate-placementConstraints",
        _on(
            fargate(),
            placementConstraints=[{"type": "memberOf", "expression": "attribute:a == b"}],
        ),
        "placementConstraints",
    ),
    Bad("fargate-ipcMode", _on(fargate(), ipcMode="host"), "ipcMode"),
    Bad("fargate-pid-mode", _on(fargate(), pidMode="host"), "pidMode"),
    _variant(fargate, "privileged", "fargate-privileged", privileged=True),
    _variant(
        fargate,
        "dockerSecurityOptions",
        "fargate-dockerSecurityOptions",
        dockerSecurityOptions=["no-new-privileges"],
    ),
    *(
        _variant(fargate, f"linuxParameters.{key}", f"fargate-{key}", **_linux(**{key: value}))
        for key, value in (
            ("devices", [{"hostPath": "/dev/x"}]),
            ("sharedMemorySize", 64),
            ("maxSwap", 0),
            ("swappiness", 0),
        )
    ),
    Bad(
        "fargate-sourcePath",
        _on(fargate(), volumes=[{"name": "m", "host": {"sourcePath": "/mnt"}}]),
        "volumes[0].host.sourcePath",
    ),
    Bad(
        "fargate-dockerVolumeConfiguration",
        _on(fargate(), volumes=[{"name": "m", "dockerVolumeConfiguration": {"scope": "task"}}]),
        "volumes[0].dockerVolumeConfiguration",
    ),
    _variant(
        fargate,
        "resourceRequirements[0]",
        "fargate-gpu",
        resourceRequirements=[{"type": "GPU", "value": "1"}],
    ),
    _variant(
        fargate,
        "linuxParameters.capabilities.add[0]",
        "fargate-capability",
        **_linux(capabilities={"add": ["IPC_LOCK"]}),
    ),
    _variant(
        fargate,
        "logConfiguration.logDriver",
        "fargate-log-driver",
        logConfiguration={"logDriver": "json-file"},
    ),
    Bad(
        "fargate-log-role",
        _without_role(fargate(container(logConfiguration=LOGS))),
        f"{_C0}.logConfiguration.logDriver",
    ),
    Bad(
        "fargate-image-role",
        _without_role(
            fargate(container(image="123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1"))
        ),
        f"{_C0}.image",
    ),
    _variant(
        fargate,
        "logConfiguration",
        "fargate-stream-prefix",
        logConfiguration={
            "logDriver": "awslogs",
            "options": {"awslogs-group": "g", "awslogs-region": "us-east-1"},
        },
    ),
    _variant(
        fargate,
        "firelensConfiguration.options.config-file-type",
        "fargate-router-file",
        firelensConfiguration={
            "type": "fluentbit",
            "options": {"config-file-type": "s3", "config-file-value": "arn:aws:s3:::b/c.conf"},
        },
    ),
    Bad(
        "ephemeral-storage-on-ec2",
        _on(ec2(), ephemeralStorage={"sizeInGiB": 30}),
        "ephemeralStorage",
    ),
    Bad("proxy-mode", _on(ec2(), proxyConfiguration=_proxy()), "proxyConfiguration"),
    Bad(
        "proxy-container",
        _on(_awsvpc(), proxyConfiguration=_proxy(container_name="envoy")),
        "proxyConfiguration.containerName",
    ),
    *(
        Bad(
            "proxy-properties",
            _on(_awsvpc(), proxyConfiguration=_proxy(without=key)),
            "proxyConfiguration",
        )
        for key in ("AppPorts", "ProxyIngressPort", "ProxyEgressPort", "IgnoredUID")
    ),
    *(
        _variant(
            ec2,
            "resourceRequirements[0].value",
            "gpu-value",
            resourceRequirements=[{"type": "GPU", "value": value}],
        )
        for value in ("", "two", "all", "0", "-1", "1.5", "0.0")
    ),
]
