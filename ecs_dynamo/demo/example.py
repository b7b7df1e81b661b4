"""Where the example graph is: in the checkout, or shipped with the package."""

from __future__ import annotations

from pathlib import Path

import ecs_dynamo
from ecs_dynamo.model.errors import InputError, Problem


def example_directory(given: Path | None = None) -> Path:
    """The folder of the local example: ``given``, else the checkout's. InputError if not there."""
    package = Path(ecs_dynamo.__file__).parent
    candidates = (
        [given]
        if given is not None
        else [package.parent / "examples" / "local", package / "examples" / "local"]
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
