"""Bad input of every kind: one error that names file, field, what was found and what is right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecs_dynamo.config import load_graph, load_settings
from ecs_dynamo.config.schema import graph_schema
from ecs_dynamo.model import graph as model_graph
from ecs_dynamo.model.errors import InputError
from ecs_dynamo.model.graph import Graph, Role
from tests.rights.widest import ENVIRON

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "ecs_dynamo" / "config" / "graph.schema.json"
CLOUDWATCH = {"source": "cloudwatch", "namespace": "n", "metric": "m", "periodSeconds": 90}
Edit = Callable[[Any], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "graph"
    shutil.copytree(ROOT / "examples" / "local", target, ignore=shutil.ignore_patterns("model"))
    return target


def load(folder: Path, edit: Edit | None = None, environ: dict[str, str] | None = None) -> Graph:
    path = folder / "ecs-dynamo.yaml"
    if edit is not None:
        document = yaml.safe_load(path.read_text())
        edit(document)
        path.write_text(yaml.safe_dump(document, sort_keys=False))
    return load_graph(path, environ or {}).graph


def prefill(document: Any) -> Any:
    return document["components"][2]


def scaling(**changes: Any) -> Edit:
    return lambda d: prefill(d)["scaling"].update(changes)


def providers(*items: dict[str, Any], **more: Any) -> Edit:
    return lambda d: prefill(d).update(capacityProviders=list(items), **more)


def placement(**parts: Any) -> Edit:
    return lambda d: prefill(d).update(placement=parts)


def groups(*items: dict[str, Any]) -> Edit:
    return lambda d: d.update(capacity={"autoScalingGroups": list(items)})


def infrastructure(**parts: Any) -> Edit:
    def edit(document: Any) -> None:
        document["infrastructure"] = parts

    return edit


def volume(**fields: Any) -> Edit:
    """NATS apart, with a volume."""
    parts = {"taskDefinition": "taskdefs/etcd-nats.json"}
    return infrastructure(etcd=parts, nats={**parts, "volume": {"fileSystemId": FS, **fields}})


def cluster(**fields: Any) -> Edit:
    """An etcd cluster of three."""
    return infrastructure(
        etcd={"taskDefinition": "taskdefs/etcd-nats.json", "replicas": 3, **fields}
    )


FS = "fs-0123456789abcdef0"


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "mapping"),
        ("- a\n- b\n", "mapping"),
        ("name: [unclosed\n", "YAML"),
        ("name: a\nname: b\n", "name"),
        ("a: &x [*x]\n", None),
        ("\x00", None),
        ("name: !!python/object:os.system {}\n", None),
    ],
)
def test_what_is_no_graph_file_is_refused(tmp_path: Path, text: str, words: str | None) -> None:
    path = tmp_path / "graph.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        load_graph(path, {})
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_a_file_that_can_not_be_read_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "graph.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x80\x81")
    with pytest.raises(InputError, match=r"graph\.yaml"):
        load_graph(path, {})


TASK_EDITS: list[tuple[Edit, str]] = [
    (lambda d: d.pop("containerDefinitions"), "containerDefinitions"),
    (lambda d: d.update(containerDefinitions=[]), "containerDefinitions"),
    (lambda d: d.update(networkMode="none"), "networkMode"),
    (lambda d: d.update(netwrkMode="host"), "networkMode"),
    (lambda d: d["containerDefinitions"][0].pop("image"), "image"),
    (lambda d: d["containerDefinitions"][0].update(stopTimeout="long"), "stopTimeout"),
    (lambda d: d["containerDefinitions"].append(d["containerDefinitions"][0]), "containerDef"),
    (
        lambda d: d["containerDefinitions"][0]["environment"].append({"name": "A", "value": [1]}),
        "environment",
    ),
    (
        lambda d: d["containerDefinitions"][0].update(
            portMappings=[{"containerPort": 1, "hostPort": 2}]
        ),
        "hostPort",
    ),
    (lambda d: d["containerDefinitions"][0].update(image="${secret:x}"), "image"),
]


@pytest.mark.parametrize(("edit", "field"), TASK_EDITS)
def test_a_bad_task_definition_is_refused(folder: Path, edit: Edit, field: str) -> None:
    path = folder / "taskdefs" / "decode.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document, indent=1))
    with pytest.raises(InputError) as caught:
        load(folder)
    problems = caught.value.problems
    assert any("decode.json" in (p.file or "") and field in str(p) for p in problems), problems


def test_every_problem_is_told_at_once(folder: Path) -> None:
    def edit(document: Any) -> None:
        document["nmae"] = "x"
        prefill(document)["scaling"]["mx"] = 3
        document["components"][1]["type"] = "decoder"

    with pytest.raises(InputError) as caught:
        load(folder, edit)
    assert len(caught.value.problems) >= 3


def test_warnings_do_not_stop(folder: Path) -> None:
    def edit(document: Any) -> None:
        prefill(document)["image"] = "busybox:latest"
        prefill(document)["env"] = {
            "ETCD_ENDPOINTS": "http://mine:2379",
            "HF_TOKEN": "hf_plain",
            "TOKENIZERS_PARALLELISM": "false",
        }
        prefill(document)["scaling"].update(
            policy="slo", min=0, signals=[{"source": "jetstream", "stream": "s", "consumer": "c"}]
        )

    path = folder / "ecs-dynamo.yaml"
    load(folder, edit)
    told = " ".join(str(w) for w in load_graph(path, {}).warnings)
    for words in ("not pinned", "is replaced by the endpoint", "by queue depth only"):
        assert words in told, told
    assert "HF_TOKEN is in plain text" in told
    assert "hf_plain" not in told
    assert "TOKENIZERS" not in told


def test_a_volume_is_mounted_where_the_data_is_and_its_task_runs_alone(folder: Path) -> None:
    graph = load(folder, volume(accessPointId="fsap-01234567", iam=True))
    nats = graph.component("nats")
    assert nats.template["volumes"] == [
        {
            "name": "ecs-dynamo-data",
            "efsVolumeConfiguration": {
                "fileSystemId": FS,
                "transitEncryption": "ENABLED",
                "authorizationConfig": {"iam": "ENABLED", "accessPointId": "fsap-01234567"},
            },
        }
    ]
    etcd, server = nats.template["containerDefinitions"]
    assert server["mountPoints"] == [
        {"sourceVolume": "ecs-dynamo-data", "containerPath": "/data", "readOnly": False}
    ]
    assert "mountPoints" not in etcd
    assert (nats.limits.minimum_healthy_percent, nats.limits.maximum_percent) == (0, 100)
    assert "volumes" not in graph.component("etcd").template
    assert graph.component("etcd").limits.maximum_percent == 200


def test_secrets_become_references_and_variables_are_filled(folder: Path) -> None:
    def edit(document: Any) -> None:
        document["variables"]["LEVEL"] = "${DYN_LEVEL:-warn}"
        prefill(document)["env"] = {
            "DYN_LOG": "${LEVEL}",
            "HF_TOKEN": "${secret:hf-token}",
            "PRICE": "$${literal}",
        }

    made = load(folder, edit, {"DYN_LEVEL": "debug"})
    (container,) = made.component("prefill").template["containerDefinitions"]
    values = {e["name"]: e["value"] for e in container["environment"]}
    assert (values["DYN_LOG"], values["PRICE"]) == ("debug", "${literal}")
    assert container["secrets"] == [
        {
            "name": "HF_TOKEN",
            "valueFrom": "arn:aws:secretsmanager:us-east-1:123456789012:secret:hf-token",
        }
    ]


@pytest.mark.parametrize(
    "path",
    [
        ROOT / "examples" / "local" / "ecs-dynamo.yaml",
        ROOT / "examples" / "qwen-disagg" / "ecs-dynamo.yaml",
        ROOT / "tests" / "fixtures" / "seed" / "graph.yaml",
    ],
)
def test_the_examples_are_valid_and_ours_without_a_warning(path: Path) -> None:
    loaded = load_graph(path, ENVIRON)
    assert loaded.graph.with_role(Role.FRONTEND) is not None
    if "examples" in path.parts:
        assert loaded.warnings == ()


APART = {"taskDefinition": "taskdefs/nats.json"}


@pytest.mark.parametrize(
    "parts",
    [
        {"taskDefinition": "taskdefs/etcd-nats.json"},
        {"etcd": {"taskDefinition": "taskdefs/etcd.json", "replicas": 3}, "nats": APART},
    ],
    ids=["together", "cluster"],
)
def test_the_task_definitions_of_production_are_valid(
    tmp_path: Path, parts: dict[str, Any]
) -> None:
    shutil.copytree(ROOT / "taskdefs", tmp_path / "taskdefs")
    graph = {
        "name": "prod",
        "region": "us-east-1",
        "network": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]},
        "infrastructure": parts,
        "components": [
            {"name": name, "type": name, "taskDefinition": f"taskdefs/{name}.json"}
            for name in ("frontend", "decode", "prefill")
        ],
    }
    path = tmp_path / "graph.yaml"
    path.write_text(yaml.safe_dump(graph))
    assert load_graph(path, ENVIRON).warnings == ()


def test_the_shipped_schema_is_up_to_date() -> None:
    shipped = json.loads(SHIPPED.read_text())
    assert shipped == graph_schema(), "run python -m ecs_dynamo.config.schema"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
PLACES = st.sampled_from(
    [
        *("name", "region", "variables", "tags", "clusters", "network", "infrastructure"),
        *("runtime", "components", "components.0", "components.2.scaling", "extra"),
    ]
)


@given(place=PLACES, junk=JUNK)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_junk_is_a_crash(folder: Path, place: str, junk: Any) -> None:
    """Whatever stands in the file, it is taken or refused with a problem, never anything else."""
    document = yaml.safe_load((ROOT / "examples" / "local" / "ecs-dynamo.yaml").read_text())
    *parents, last = place.split(".")
    inner: Any = document
    for key in parents:
        inner = inner[int(key)] if key.isdigit() else inner[key]
    if isinstance(inner, list):
        inner[int(last)] = junk
    else:
        inner[last] = junk
    path = folder / "junk.yaml"
    path.write_text(yaml.safe_dump(document))
    with suppress(InputError):
        load_graph(path, {})


@given(st.text(max_size=300))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_text_is_a_crash(tmp_path: Path, text: str) -> None:
    path = tmp_path / "text.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(InputError):
        load_graph(path, {})


def test_settings_name_their_variable_and_flags_win() -> None:
    made = load_settings(
        {"ECS_DYNAMO_LOG_LEVEL": "DEBUG", "ECS_DYNAMO_HTTP_PORT": "1"}, http_port=2
    )
    assert (made.log_level, made.http_port) == ("debug", 2)
    for environ, flags, words in (
        ({"ECS_DYNAMO_RESYNC_SECONDS": "soon"}, {}, "ECS_DYNAMO_RESYNC_SECONDS"),
        ({"ECS_DYNAMO_RESYNC_SECOND": "5"}, {}, "RESYNC_SECONDS"),
        ({}, {"http_port": 99999}, "--http-port"),
        ({"ECS_DYNAMO_ENDPOINT_URL": "here"}, {}, "not a URL"),
        (
            {"ECS_DYNAMO_BACKOFF_MIN_SECONDS": "9", "ECS_DYNAMO_BACKOFF_MAX_SECONDS": "1"},
            {},
            "lower the first",
        ),
    ):
        with pytest.raises(InputError, match=words):
            load_settings(environ, **flags)
    assert load_settings({"ECS_DYNAMO_PROFILE": "", "ECS_DYNAMO_UNRELATED": "x"}).profile is None


def production(tmp_path: Path, **etcd: Any) -> Path:
    """A graph of the shipped task definitions with an etcd cluster."""
    shutil.copytree(ROOT / "taskdefs", tmp_path / "taskdefs")
    path = tmp_path / "graph.yaml"
    graph = {
        "name": "prod",
        "region": "us-east-1",
        "network": {"subnets": ["subnet-a", "subnet-b"], "securityGroups": ["sg-1"]},
        "infrastructure": {"etcd": {"taskDefinition": "taskdefs/etcd.json", "replicas": 3, **etcd}},
        "components": [
            {"name": name, "type": name, "taskDefinition": f"taskdefs/{name}.json"}
            for name in ("frontend", "decode", "prefill")
        ],
    }
    path.write_text(yaml.safe_dump(graph))
    return path


def test_a_cluster_has_a_service_for_each_member(tmp_path: Path) -> None:
    path = production(tmp_path)
    file = tmp_path / "taskdefs" / "etcd.json"
    document = json.loads(file.read_text())
    document["containerDefinitions"][0]["command"].append("--peer-auto-tls")
    file.write_text(json.dumps(document))
    members = load_graph(path, ENVIRON).graph.etcd_members
    assert [m.service for m in members] == ["prod-etcd-0", "prod-etcd-1", "prod-etcd-2"]
    assert [m.network.subnets for m in members] == [("subnet-a",), ("subnet-b",), ("subnet-a",)]
    assert {(m.replicas, m.limits.maximum_percent, m.limits.circuit_breaker) for m in members} == {
        (1, 100, False)
    }
    environment = {
        e["name"]: e["value"] for e in members[1].template["containerDefinitions"][0]["environment"]
    }
    assert environment == {
        "ETCD_NAME": "etcd-1",
        "ETCD_LISTEN_PEER_URLS": "https://0.0.0.0:2380",
    }


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        (lambda d: d["containerDefinitions"][0]["command"].append("--name=x"), "command", "--name"),
        (
            lambda d: d["containerDefinitions"][0].update(
                command=["sh", "-c", "etcd -discovery x"]
            ),
            "command",
            "--discovery",
        ),
        (
            lambda d: d["containerDefinitions"][0].update(
                environment=[{"name": "ETCD_INITIAL_CLUSTER", "value": "x"}]
            ),
            "environment",
            "ETCD_INITIAL_CLUSTER",
        ),
        (lambda d: d.update(networkMode="host"), "networkMode", "awsvpc"),
    ],
)
def test_what_a_cluster_sets_itself_is_refused(
    tmp_path: Path, change: Callable[[Any], Any], field: str, words: str
) -> None:
    path = production(tmp_path)
    file = tmp_path / "taskdefs" / "etcd.json"
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    with pytest.raises(InputError) as caught:
        load_graph(path, ENVIRON)
    told = [p for p in caught.value.problems if field in (p.field or "")]
    assert any(words in f"{p.message} {p.remedy}" for p in told), caught.value.problems
    assert {p.file for p in told} == {str(file)}


def test_every_tag_of_a_service_is_counted() -> None:
    """A service has at most 50 tags: whoever adds one of ours adds it to `SERVICE_TAGS`."""
    own = {v for k, v in vars(model_graph).items() if k.startswith("TAG_")}
    assert own - {model_graph.TAG_FINGERPRINT} == set(model_graph.SERVICE_TAGS)


def test_as_many_tags_as_ecs_leaves_room_for(folder: Path) -> None:
    most = 50 - len(model_graph.SERVICE_TAGS)
    graph = load(folder, lambda d: d.update(tags={f"t{i}": "v" for i in range(most)}))
    assert len(graph.tags) == most
