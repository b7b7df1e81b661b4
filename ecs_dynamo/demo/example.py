"""Where the example graph is: in the checkout, or shipped with the package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import ecs_dynamo
from ecs_dynamo.model.errors import EcsDynamoError, InputError, Problem

_PACKAGE = Path(ecs_dynamo.__file__).parent
_SHIPPED = _PACKAGE / "examples" / "local"
"""Where the wheel has it (`force-include` in pyproject.toml)."""
MODEL_SECONDS = 120.0


def example_directory(given: Path | None = None) -> Path:
    """The folder of the local example: ``given``, else the checkout's. InputError if not there."""
    candidates = (
        [given] if given is not None else [_PACKAGE.parent / "examples" / "local", _SHIPPED]
    )
    for folder in candidates:
        if (folder / "ecs-dynamo.yaml").is_file() and (folder / "images.yaml").is_file():
            return folder
    raise InputError(
        Problem(
            "the local example is not here",
            file=str(candidates[0]),
            remedy="run in a checkout of ecs-dynamo, or give its folder with --example",
        )
    )


def is_shipped(folder: Path) -> bool:
    """Whether ``folder`` belongs to the installed package, where nothing may be written."""
    return folder == _SHIPPED


def build_model(folder: Path) -> None:
    """Build the tiny model of the example in ``folder``. EcsDynamoError where that fails."""
    try:
        subprocess.run(
            [sys.executable, str(folder / "build_model.py"), str(folder / "model")],
            check=True,
            capture_output=True,
            timeout=MODEL_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise EcsDynamoError(f"the example's model cannot be built: {said[-1:]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EcsDynamoError(f"the example's model cannot be built: {error}") from None


def unpack_example(target: Path) -> Path:
    """Copy the example to ``target`` and build its model there; an earlier copy is replaced.

    The package's own folder may be read-only, and is no place for what a run writes.
    InputError where ``target`` cannot be written.
    """
    source = example_directory()
    try:
        shutil.copytree(
            source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model", ".*")
        )
    except (OSError, shutil.Error) as error:
        raise InputError(
            Problem(f"the example cannot be copied here: {error}", file=str(target))
        ) from None
    build_model(target)
    return target
