"""Valid task definitions."""

from __future__ import annotations

from tests.unit.definitions.builders import LOGS, SECRET, Json, container, ec2, fargate

VALID: dict[str, Json] = {
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
    "Fargate sizes with units": {**fargate(), "cpu": ".5 vCPU", "memory": "1GB"},
    "largest Fargate size": {**fargate(), "cpu": "16 vcpu", "memory": "120 GB"},
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
    "a fraction of a GPU": ec2(container(resourceRequirements=[{"type": "GPU", "value": "0.25"}])),
    "links": ec2(container(links=["db:database"]), container("db"), mode="bridge"),
    "image by digest": ec2(container(image="example.com/app@sha256:" + "0aF" * 21 + "0")),
}
"""Valid task definitions, by what each of them shows."""

VALID["app mesh"]["proxyConfiguration"] = {
    "type": "APPMESH",
    "containerName": "envoy",
    "properties": [
        {"name": "AppPorts", "value": "9080"},
        {"name": "ProxyIngressPort", "value": "15000"},
        {"name": "ProxyEgressPort", "value": "15001"},
        {"name": "IgnoredUID", "value": "1337"},
    ],
}
for _definition in VALID.values():
    for _container in _definition["containerDefinitions"]:
        if _container.get("memory", 0) is None:
            del _container["memory"]
