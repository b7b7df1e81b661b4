"""The example graph, in the checkout or shipped with the package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import ecs_dynamo
from ecs_dynamo.model.errors import EcsDynamoError, InputError, Problem

_PACKAGE = Path(ecs_dynamo.__file__).parent
_SHIPPED = _PACKAGE / "examples" / "local"
"""The folder in an installed wheel (`force-include` in pyproject.toml)."""
MODEL_SECONDS = 120.0


def example_directory(folder: Path | None = None) -> Path:
    """Return the folder of the local example: ``folder``, the checkout's or the package's.

    Raises InputError if there is no example.
    """
    candidates = (
        [folder] if folder is not None else [_PACKAGE.parent / "examples" / "local", _SHIPPED]
    )
    for candidate in candidates:
        if (candidate / "ecs-dynamo.yaml").is_file() and (candidate / "images.yaml").is_file():
            return candidate
    raise InputError(
        Problem(
            "there is no local example in this folder",
            file=str(candidates[0]),
            remedy="run in a checkout of ecs-dynamo, or name the folder with --example",
        )
    )


def is_shipped(folder: Path) -> bool:
    """Return whether ``folder`` belongs to the installed package and must not be written to."""
    return folder == _SHIPPED


def build_model(folder: Path) -> None:
    """Build the tiny model of the example in ``folder``. Raises EcsDynamoError on failure."""
    try:
        subprocess.run(
            [sys.executable, str(folder / "build_model.py"), str(folder / "model")],
            check=True,
            capture_output=True,
            timeout=MODEL_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        raise EcsDynamoError(f"the example's model cannot be built: {lines[-1:]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EcsDynamoError(f"the example's model cannot be built: {error}") from None


def unpack_example(target: Path) -> Path:
    """Copy the example to ``target``, replacing an earlier copy, and build its model there.

    A run writes to its example's folder, and the package's own folder may be read-only. Raises
    InputError if ``target`` cannot be written to.
    """
    source = example_directory()
    try:
        shutil.copytree(
            source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model", ".*")
        )
    except (OSError, shutil.Error) as error:
        raise InputError(
            Problem(f"the example cannot be copied to this folder: {error}", file=str(target))
        ) from None
    build_model(target)
    return target
