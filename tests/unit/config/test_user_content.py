"""The user's content is kept: variables of containers, numbers as written, no silent nulls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.config import load_graph
from ecs_dynamo.model.errors import InputError
from tests.helpers.graph_files import containers_by_name as by_name
from tests.helpers.graph_files import load_containers as load
from tests.unit.planning.test_containers import BARE

SHELL = {"HOME": "/root", "MODEL": "operators-own", "TOKEN": "operators-secret"}


def command(
    folder: Path, words: list[Any], environ: dict[str, str] | None = None, **more: Any
) -> tuple[list[str], list[str]]:
    """The command as it is registered, and the warnings about it."""
    loaded = load(folder, [{**BARE, "command": words, **more}], environ or SHELL)
    return by_name(loaded)["app"]["command"], [w.message for w in loaded.warnings]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exec serve ${HOME}/x", "exec serve ${HOME}/x"),
        ("exec serve --model ${MODEL:-small}", "exec serve --model ${MODEL:-small}"),
        ("exec serve ${HOME%/}${#A}${B:?no}${C[@]}", "exec serve ${HOME%/}${#A}${B:?no}${C[@]}"),
        ("exec serve $HOME $${HOME}", "exec serve $HOME ${HOME}"),
        # The account is declared; the Region is the graph's.
        ("serve ${AWS_ID} ${AWS_REGION}", "serve 123456789012 us-east-1"),
        # A declared variable within the default of one that is not.
        ("serve ${A:-${AWS_ID}/${HOME}}", "serve ${A:-123456789012/${HOME}}"),
    ],
)
def test_a_containers_own_variables_stay(tmp_path: Path, text: str, expected: str) -> None:
    words, _ = command(tmp_path, ["sh", "-c", text])
    assert words == ["sh", "-c", expected]
    words, _ = command(tmp_path, [text], entryPoint=["/bin/bash", "-lc"])
    assert words == [expected]


def test_without_a_shell_a_default_is_filled_in(tmp_path: Path) -> None:
    words, _ = command(tmp_path, ["serve", "${MODEL:-small}", "${A:-${AWS_ID}}", "${HOME}"])
    assert words == ["serve", "small", "123456789012", "${HOME}"]


def test_a_variable_that_the_environment_has_too_is_reported(tmp_path: Path) -> None:
    words = ["sh", "-c", "serve ${MODEL:-small} ${HOME}"]
    _, warnings = command(tmp_path, words)
    (warning,) = [w for w in warnings if "left to the container" in w]
    assert "MODEL" in warning
    own = [{"name": "MODEL", "value": "mine"}]
    assert command(tmp_path, words, environment=own)[1] == []
    assert command(tmp_path, words, {"HOME": "/root"})[1] == []


def test_the_operators_shell_fills_nothing_else_in(tmp_path: Path) -> None:
    container = {**BARE, "environment": [{"name": "T", "value": "${TOKEN}"}]}
    with pytest.raises(InputError) as caught:
        load(tmp_path, [container], SHELL)
    text = str(caught.value)
    assert "the variable TOKEN is not declared" in text
    assert "TOKEN: ${TOKEN} under variables" in text
    assert "$${TOKEN} for a literal ${TOKEN}" in text
    assert "operators-secret" not in text
    with_default = {**BARE, "environment": [{"name": "M", "value": "${MODEL:-small}"}]}
    assert by_name(load(tmp_path, [with_default], SHELL))["app"]["environment"] == [
        {"name": "M", "value": "small"}
    ]


def test_a_declared_variable_passes_the_environments_on(tmp_path: Path) -> None:
    def filled(variables: str) -> Any:
        container = {**BARE, "command": ["sh", "-c", "serve ${MODEL:-small} ${HOME}"]}
        load(tmp_path, [container], SHELL)
        file = tmp_path / "ecs-dynamo.yaml"
        file.write_text(file.read_text().replace("variables:\n", f"variables:\n  {variables}\n"))
        return by_name(load_graph(file, SHELL))["app"]["command"][2]

    assert filled("MODEL: ${MODEL}") == "serve operators-own ${HOME}"
    assert filled("MODEL: ${MODEL:-other}") == "serve operators-own ${HOME}"
    assert filled("MODEL: ${NOWHERE:-other}") == "serve other ${HOME}"


def test_the_command_of_a_component_is_filled_as_a_containers(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        [{**BARE, "entryPoint": ["sh", "-c"]}],
        SHELL,
        command=["serve ${MODEL:-small} ${HOME} ${AWS_ID}"],
    )
    assert by_name(loaded)["app"]["command"] == ["serve ${MODEL:-small} ${HOME} 123456789012"]
    with pytest.raises(InputError, match=r"can ?not be used here"):
        load(tmp_path, [BARE], SHELL, command=["serve ${secret:name}"])


def test_a_health_check_reads_the_containers_variables(tmp_path: Path) -> None:
    check = {"command": ["CMD-SHELL", "curl localhost:${DYN_SYSTEM_PORT:-8081}/health"]}
    loaded = load(tmp_path, [{**BARE, "healthCheck": check}], SHELL)
    assert by_name(loaded)["app"]["healthCheck"] == check
    words = {"command": ["CMD", "check", "${PORT:-8081}"]}  # Nobody reads this as a shell would.
    loaded = load(tmp_path, [{**BARE, "healthCheck": words}], SHELL)
    assert by_name(loaded)["app"]["healthCheck"]["command"] == ["CMD", "check", "8081"]


def test_numbers_of_json_stay_as_written(tmp_path: Path) -> None:
    load(tmp_path, [{**BARE, "environment": [{"name": "A", "value": "TEXT"}]}])
    file = tmp_path / "app.json"
    template = file.read_text()
    for text in ("1.10", "1e5", "1E400", "-0.0", "12345678901234567890123", "true", "0"):
        file.write_text(template.replace('"TEXT"', text))
        loaded = load_graph(tmp_path / "ecs-dynamo.yaml", {})
        assert by_name(loaded)["app"]["environment"] == [{"name": "A", "value": text}]


def test_nulls_instead_of_values_are_reported(tmp_path: Path) -> None:
    container = {
        **BARE,
        "environment": [{"name": "A", "value": None}],
        "dockerLabels": {"owner": None},
        "user": None,
        "logConfiguration": {"logDriver": "json-file", "options": {"max-size": None}},
    }
    warnings = [w.message for w in load(tmp_path, [container]).warnings]
    assert sorted(warnings) == [
        "A has no value: in the container it is empty",
        "max-size is null and is left out",
        "owner is null and is left out",
    ]
