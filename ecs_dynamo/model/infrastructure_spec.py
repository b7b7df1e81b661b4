"""What makes etcd and NATS last: the parts of the graph file beside their task definitions."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ecs_dynamo.model.base import SpecModel


class VolumeSpec(SpecModel):
    """An EFS file system for the data of etcd or NATS, so that a replaced task finds it again.

    ``path`` is where it is mounted in the container; by default where the command has its data.
    ``iam``: the task role is what EFS grants access to (ECS: ``authorizationConfig.iam``).
    """

    file_system_id: Annotated[str, Field(pattern=r"^fs-[0-9a-f]{8,40}$")]
    access_point_id: Annotated[str, Field(pattern=r"^fsap-[0-9a-f]{8,40}$")] | None = None
    root_directory: Annotated[str, Field(pattern=r"^/")] | None = None
    transit_encryption: bool = True
    iam: bool = False
    path: Annotated[str, Field(pattern=r"^/[^/\s]")] | None = None

    @model_validator(mode="after")
    def _as_ecs_takes_it(self) -> Self:
        """ECS API reference, EFSVolumeConfiguration."""
        if self.access_point_id is not None and self.root_directory not in (None, "/"):
            raise ValueError(
                "an access point has a root directory of its own; leave out rootDirectory"
            )
        if not self.transit_encryption and (self.access_point_id is not None or self.iam):
            raise ValueError(
                "an access point or iam needs transitEncryption; leave it out, or set it to true"
            )
        return self
