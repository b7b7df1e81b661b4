"""The options that commands share: defined once, and the same wherever they appear."""

from __future__ import annotations

from dataclasses import fields

import pytest
import typer

from ecs_dynamo.cli.main import app
from ecs_dynamo.cli.options import CommonFlags, with_common_flags
from ecs_dynamo.model.errors import InputError

CALLS_AWS = {"doctor", "down", "plan", "reconcile", "rollback", "run", "status"}
SHARED = {
    "--file": "Path of the graph file.",
    "--json": "Print machine-readable JSON.",
    "--timeout": "Seconds to wait for convergence.",
    "--endpoint-url": "AWS endpoint, as in the AWS CLI.",
    "--profile": "AWS profile.",
    "--region": "AWS Region.",
    "--log-level": "One of debug, info, warning, error.",
}
OWN_FILE_OPTION = {
    # Several graph files, or one that is optional.
    "run": "Path of a graph file (may be repeated).",
    "validate": "Path of a graph file (may be repeated).",
    "simulate": "Graph file whose scaling is simulated too.",
}


def options_of_commands() -> dict[str, dict[str, str | None]]:
    """The help text of every option, by command."""
    group = typer.main.get_command(app)
    commands = getattr(group, "commands")  # noqa: B009 (of a click group)
    return {
        name: {
            option.opts[0]: getattr(option, "help", None)
            for option in command.params
            if option.param_type_name == "option"
        }
        for name, command in commands.items()
    }


def test_commands_that_call_aws_have_the_common_flags_and_no_others_do() -> None:
    flags = {f"--{field.name.replace('_', '-')}" for field in fields(CommonFlags)}
    for command, options in options_of_commands().items():
        assert flags & options.keys() == (flags if command in CALLS_AWS else set()), command


def test_shared_options_have_one_text_each() -> None:
    for command, options in options_of_commands().items():
        for option, text in SHARED.items():
            if option in options:
                own = OWN_FILE_OPTION.get(command) if option == "--file" else None
                assert options[option] == (own or text), (command, option)


@pytest.mark.parametrize("command", sorted(CALLS_AWS))
def test_every_option_has_a_help_text(command: str) -> None:
    assert all(options_of_commands()[command].values())


def test_a_command_receives_the_flags_as_one_value() -> None:
    received: list[tuple[CommonFlags, int]] = []

    @with_common_flags
    def command(flags: CommonFlags, number: int = 1) -> None:
        received.append((flags, number))

    command(number=2, endpoint_url=None, profile="p", region="us-east-1", log_level=None)
    assert received == [(CommonFlags(profile="p", region="us-east-1"), 2)]


def test_a_wrong_log_level_names_the_flag() -> None:
    with pytest.raises(InputError, match="--log-level"):
        app(["plan", "--log-level", "loud"], standalone_mode=False)
