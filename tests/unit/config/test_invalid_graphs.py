"""Invalid graph files: each error names file, line, field, the value found and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecs_dynamo.model.errors import InputError
from tests.helpers.graph_files import (
    FS,
    Edit,
    cluster,
    groups,
    infrastructure,
    load,
    placement,
    prefill,
    providers,
    scaling,
    volume,
)

CLOUDWATCH = {"source": "cloudwatch", "namespace": "n", "metric": "m", "periodSeconds": 90}


@pytest.mark.parametrize(
    ("edit", "field", "words"),
    [
        (volume(fileSystemId="efs"), "infrastructure.nats.volume.fileSystemId", "not a valid"),
        (
            volume(accessPointId="fsap-01234567", rootDirectory="/x"),
            "infrastructure.nats.volume",
            "leave out rootDirectory",
        ),
        (
            volume(transitEncryption=False, iam=True),
            "infrastructure.nats.volume",
            "transitEncryption",
        ),
        (volume(path="/elsewhere"), "containerDefinitions[1].command", "not on the volume"),
        (
            lambda d: volume()(d) or d["infrastructure"].update(rollout={"maximumPercent": 150}),
            "infrastructure.rollout.maximumPercent",
            "two tasks",
        ),
        (
            infrastructure(
                etcd={"endpoints": ["http://e:2379"], "volume": {"fileSystemId": FS}},
            ),
            "infrastructure.etcd",
            "beside endpoints",
        ),
        (
            infrastructure(
                etcd={
                    "taskDefinition": "taskdefs/etcd-nats.json",
                    "volume": {"fileSystemId": FS, "path": "/etcd-data"},
                },
            ),
            "containerDefinitions[0].command",
            "add --data-dir",
        ),
        (cluster(replicas=2), "infrastructure.etcd.replicas", "1 or 3"),
        (cluster(replicas=5), "infrastructure.etcd.replicas", "write one of 1 or 3"),
        (
            infrastructure(
                etcd={"endpoints": ["http://e:2379"]},
                nats={"taskDefinition": "taskdefs/etcd-nats.json", "replicas": 5},
            ),
            "infrastructure.nats.replicas",
            "write 1, or use nats.endpoints",
        ),
        (cluster(volume={"fileSystemId": FS}), "infrastructure.etcd", "leave out volume"),
        (
            infrastructure(etcd={"endpoints": ["http://e:2379"], "replicas": 3}),
            "infrastructure.etcd",
            "beside endpoints",
        ),
        (
            infrastructure(
                etcd={"endpoints": ["http://e:2379"]},
                nats={"taskDefinition": "taskdefs/etcd-nats.json", "replicas": 3},
            ),
            "infrastructure",
            "clusters are for etcd",
        ),
        (
            lambda d: cluster()(d) or d["infrastructure"].update(rollout={"maximumPercent": 150}),
            "infrastructure.rollout.maximumPercent",
            "stopping it first",
        ),
        (lambda d: prefill(d).update(name="etcd-1"), "components[2].name", "reserved for"),
        (lambda d: d.update(componets=[]), "componets", "components"),
        (lambda d: prefill(d).update(replcias=1), "components[2].replcias", "replicas"),
        (lambda d: prefill(d).update(replicas="many"), "components[2].replicas", "many"),
        (lambda d: prefill(d).update(replicas=-1), "components[2].replicas", "-1"),
        (lambda d: prefill(d).update(replicas=9), "components[2]", "outside scaling"),
        (lambda d: prefill(d).update(type="prefil"), "components[2].type", "prefill"),
        (lambda d: prefill(d).update(name="Pre_Fill"), "components[2].name", "Pre_Fill"),
        (lambda d: prefill(d).update(name="decode"), "components[2].name", "two components"),
        (lambda d: prefill(d).update(name="etcd"), "components[2].name", "reserved for"),
        (lambda d: d.pop("components"), "components", "missing"),
        (lambda d: d.update(components=[]), "components", "at least"),
        (lambda d: d.update(name=None), "name", "string"),
        (scaling(min=4, max=2), "components[2].scaling", "above max"),
        (scaling(policy="fast"), "components[2].scaling.policy", "slo"),
        (scaling(signals=[{}]), "components[2].scaling.signals", "source"),
        (scaling(signals=[{"source": "sqs"}]), "components[2].scaling.signals", "sqs"),
        (scaling(signals=[]), "components[2].scaling.signals", "at least"),
        (
            scaling(signals=[{"source": "prometheus", "url": "prom", "query": "x"}]),
            "components[2].scaling.signals[0].url",
            "not an HTTP URL",
        ),
        (
            scaling(
                signals=[
                    {"source": "prometheus", "url": "http://p", "query": "x", "kind": "latency"}
                ]
            ),
            "components[2].scaling.signals",
            "arrival_rate",
        ),
        (
            scaling(signals=[{"source": "cloudwatch", "namespace": "AWS/SQS"}]),
            "components[2].scaling.signals",
            "metric",
        ),
        (
            scaling(
                signals=[
                    {"source": "cloudwatch", "namespace": "A", "metric": "m", "statistic": "p99x"}
                ]
            ),
            "components[2].scaling.signals",
            "Average",
        ),
        (
            scaling(schedule=[{"cron": "every day", "hours": 1, "min": 1}]),
            "components[2].scaling.schedule[0].cron",
            "not a cron",
        ),
        (
            scaling(schedule=[{"cron": "0 8 * * *", "hours": 1, "min": 1, "timezone": "Mars"}]),
            "components[2].scaling.schedule[0].timezone",
            "Mars",
        ),
        (
            scaling(schedule=[{"cron": "0 8 * * *", "hours": 1}]),
            "components[2].scaling.schedule[0]",
            "give min",
        ),
        (
            lambda d: d["components"][0].update(
                scaling={"max": 2, "signals": [{"source": "planner"}]}
            ),
            "components[0].scaling.signals[0].source",
            "planner",
        ),
        (scaling(maxSignalAgeSeconds=0), "components[2].scaling.maxSignalAgeSeconds", "0"),
        (providers({"name": "spot"}, launchType="EC2"), "components[2]", "remove launchType"),
        (
            providers({"name": "a", "weight": 0}, {"name": "b", "weight": 0}),
            "components[2]",
            "every weight",
        ),
        (providers({"name": "a", "base": 1}, {"name": "b", "base": 1}), "components[2]", "base"),
        (providers({"name": "a"}, {"name": "a"}), "components[2]", "twice"),
        (providers({"name": "a"}, {"name": "FARGATE"}), "components[2]", "mixes Fargate"),
        (providers({"name": "a", "weight": 1001}), "capacityProviders[0].weight", "1000"),
        (
            providers({"name": "FARGATE_SPOT"}, placement={"strategy": [{"type": "random"}]}),
            "components[2]",
            "remove placement",
        ),
        (
            placement(strategy=[{"type": "binpack", "field": "gpu"}]),
            "strategy[0]",
            "to cpu or memory",
        ),
        (placement(strategy=[{"type": "spread"}]), "strategy[0]", "needs a field"),
        (placement(strategy=[{"type": "random", "field": "x"}]), "strategy[0]", "no field"),
        (placement(constraints=[{"type": "memberOf"}]), "constraints[0]", "expression"),
        (
            placement(constraints=[{"type": "distinctInstance", "expression": "x"}]),
            "constraints[0]",
            "no expression",
        ),
        (groups({"name": "g", "min": 3, "max": 2}), "autoScalingGroups[0]", "above max"),
        (groups({"name": "g"}), "autoScalingGroups[0].max", "missing"),
        (groups({"name": "g", "max": 1}, {"name": "g", "max": 2}), "capacity", "twice"),
        (lambda d: d.update(capacity={"maxGpus": 1}), "capacity.maxGpus", "2 GPUs"),
        (
            groups({"name": "g", "max": 1, "cluster": "dynamo-fargate"}),
            "capacity.autoScalingGroups[0].cluster",
            "no component runs on EC2",
        ),
        (infrastructure(), "infrastructure", "taskDefinition"),
        (
            infrastructure(etcd={"endpoints": ["etcd"]}, nats={"endpoints": ["nats://n:4222"]}),
            "infrastructure.etcd.endpoints[0]",
            "http://host:port",
        ),
        (
            infrastructure(etcd={"endpoints": ["http://u:p@h:1"]}),
            "infrastructure.etcd.endpoints[0]",
            "password",
        ),
        (
            lambda d: (
                infrastructure(etcd={"endpoints": ["http://h:2379"]})(d),
                d["runtime"].update(requestPlane="nats"),
            ),
            "runtime.requestPlane",
            "needs NATS",
        ),
        (lambda d: d["components"].pop(0), "components", "no component is a frontend"),
        (lambda d: d["components"].pop(1), "components", "no decode"),
        (lambda d: d["network"].update(subnets=[]), "network", "needs subnets"),
        (lambda d: d.update(tags={"aws:x": "y"}), "tags", "reserved"),
        (lambda d: d.update(tags={f"t{i}": "v" for i in range(45)}), "tags", "at most 50 tags"),
        (
            lambda d: prefill(d).update(scaling={"max": 2, "signals": [CLOUDWATCH]}),
            "periodSeconds",
            "not a period of CloudWatch",
        ),
        (
            lambda d: prefill(d).update(taskDefinition="taskdefs/none.json"),
            "components[2].taskDefinition",
            "none.json",
        ),
        (lambda d: prefill(d).update(env={"A": "${NOWHERE}"}), "components[2].env", "NOWHERE"),
        (lambda d: prefill(d).update(launchType="FARGATE"), "launchType", "requiresCompat"),
        (
            lambda d: d.update(region="${ssm:/region}"),
            "region",
            "ssm",
        ),
    ],
)
def test_a_bad_graph_file_is_refused(folder: Path, edit: Edit, field: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load(folder, edit)
    text = str(caught.value)
    assert "Traceback" not in text
    matching = [p for p in caught.value.problems if field in (p.field or "")]
    assert matching, text
    assert any(words in str(p) for p in matching), text
    assert all(p.file and p.line and (p.remedy or "give " in p.message) for p in matching), text
