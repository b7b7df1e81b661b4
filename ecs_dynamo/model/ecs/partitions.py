"""AWS's partitions as botocore knows them: the partition of a Region, and names in it.

The source is ``partitions.json`` of the installed botocore, so that a new partition needs no new
release. It is static data of the package, so reading it is not an observation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ecs_dynamo.common.botocore_data import partitions

COMMERCIAL = "aws"
CHINA = "aws-cn"
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d+")


def _known(region: str) -> Mapping[str, Any] | None:
    """Return the partition that lists the Region, otherwise the one whose pattern it matches, as
    for a Region that is newer than the installed botocore."""
    listed = (p for p in partitions() if region in p["regions"])
    alike = (p for p in partitions() if re.match(p["regionRegex"], region))
    return next(listed, None) or next(alike, None)


def partition_of(region: str) -> str:
    """Return the partition in the ARNs of ``region``: ``aws``, ``aws-cn``, ``aws-us-gov``,
    ``aws-iso``, ``aws-eusc`` and so on; the commercial one for an unknown Region."""
    found = _known(region)
    return str(found["id"]) if found else COMMERCIAL


def ec2_principals(region: str) -> list[str]:
    """Return the names under which EC2 assumes an instance's role, for its trust policy.

    It is ``ec2.amazonaws.com`` everywhere, including the sovereign cloud (there IAM rejects
    ``ec2.amazonaws.eu`` as an invalid principal). China has a second form, which some services
    need ("Amazon Web Services in China, Getting Started", IAM, "Service principals in policies"),
    and the isolated partitions have their own domain (AWS CDK, ``region-info``).
    """
    name = "ec2.amazonaws.com"
    found = _known(region)
    if found is None:
        return [name]
    own = f"ec2.{found['outputs']['dnsSuffix']}"
    if found["id"] == CHINA:
        return [name, own]
    return [own] if str(found["id"]).startswith("aws-iso") else [name]


def endpoint_service(name: str) -> str:
    """Return the service of a VPC endpoint from its service name, such as ``ecr.dkr``.

    The name has a prefix by partition before the Region: ``com.amazonaws.us-east-1.ecr.dkr``,
    ``cn.com.amazonaws.cn-north-1.ecr.dkr``, ``eu.amazonaws.eusc-de-east-1.ecr.dkr``.
    """
    labels = name.split(".")
    at = next((i for i, label in enumerate(labels) if _REGION.fullmatch(label)), None)
    return ".".join(labels[at + 1 :]) if at is not None else name
