"""Deprecated keys of the graph file: the same graph with a warning, and named in problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ecs_dynamo.config import load_graph
from ecs_dynamo.config.reading.deprecated_keys import replace_deprecated_keys
from ecs_dynamo.config.reading.document import parse_document
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.schema import graph_schema
from ecs_dynamo.model.errors import InputError
from ecs_dynamo.model.spec.base import SpecModel
from tests.helpers.graph_files import ENVIRON, load
from tests.unit.config.test_names import ETCD, NATS

PATH = ("infrastructure", "names", "serviceDiscovery")
VALUE = {"cloudMap": {"etcd": ETCD, "nats": ETCD}}
"""Path, deprecated key and current key, and a value, of each deprecated key."""


def models(model: type[BaseModel]) -> list[type[BaseModel]]:
    return [model, *(m for child in model.__subclasses__() for m in models(child))]


def test_each_deprecated_key_is_tested_here_and_marked_in_the_schema() -> None:
    _, old, new = PATH
    declared = [m for m in models(SpecModel) if issubclass(m, SpecModel) and m.deprecated_keys]
    assert [(m.__name__, dict(m.deprecated_keys)) for m in declared] == [
        ("InfrastructureSpec", {old: new})
    ]
    properties = graph_schema()["$defs"]["InfrastructureSpec"]["properties"]
    assert properties[old]["deprecated"] is True
    assert properties[old]["anyOf"] == properties[new]["anyOf"]
    assert "deprecated" not in properties[new]


def test_the_old_key_gives_the_same_graph_and_a_warning(folder: Path) -> None:
    place, old, new = PATH

    def with_key(key: str, without: str) -> Any:
        def edit(document: Any) -> None:
            document[place].pop(without, None)
            document[place][key] = VALUE

        return edit

    graph = load(folder, with_key(new, old), ENVIRON)
    current = load_graph(folder / "ecs-dynamo.yaml", ENVIRON).warnings
    assert load(folder, with_key(old, new), ENVIRON) == graph
    deprecated = load_graph(folder / "ecs-dynamo.yaml", ENVIRON).warnings
    about_key = [w for w in deprecated if "is deprecated" in w.message]
    assert [(w.field, w.remedy) for w in about_key] == [("infrastructure.names", f"write {new}")]
    text = (folder / "ecs-dynamo.yaml").read_text().splitlines()
    assert text[(about_key[0].line or 0) - 1].strip() == "names:"
    assert not any("deprecated" in w.message for w in current)
    assert [w.message for w in deprecated if w not in about_key] == [w.message for w in current]


def test_problems_name_the_key_in_the_file(folder: Path) -> None:
    for key in PATH[1:]:

        def edit(document: Any, key: str = key) -> None:
            document["infrastructure"] = {
                "taskDefinition": document["infrastructure"]["taskDefinition"],
                key: {"cloudMap": {"etcd": {**ETCD, "dnsName": "http://etcd"}, "nats": NATS}},
            }

        with pytest.raises(InputError) as refused:
            load(folder, edit, ENVIRON)
        (problem,) = refused.value.problems
        assert problem.field == f"infrastructure.{key}.cloudMap.etcd.dnsName"
        lines = (folder / "ecs-dynamo.yaml").read_text().splitlines()
        assert "http://etcd" in lines[(problem.line or 0) - 1]


def test_both_keys_at_once_are_an_error(folder: Path) -> None:
    both = {PATH[1]: VALUE, PATH[2]: VALUE}
    with pytest.raises(InputError) as refused:
        load(folder, lambda d: d["infrastructure"].update(both), ENVIRON)
    (problem,) = refused.value.problems
    assert problem.field == "infrastructure.names"
    assert problem.remedy == "keep serviceDiscovery and remove names"


def test_other_values_stay_as_they_are() -> None:
    text = "infrastructure: [names, {names: 1}]\ncomponents: {names: [names]}\nnames: 2\n"
    document = parse_document(text, Path("graph.yaml"))
    report = Report()
    current = replace_deprecated_keys(document, report)
    assert current.value == {
        "infrastructure": ["names", {"serviceDiscovery": 1}],
        "components": {"names": ["names"]},
        "names": 2,
    }
    assert [w.field for w in report.warnings] == ["infrastructure[1].names"]
    assert current.text_of(("infrastructure", 1, "serviceDiscovery")) == "1"
