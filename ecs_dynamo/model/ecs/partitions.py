"""AWS's partitions, as botocore knows them: which one a Region is in, and its names there.

``partitions.json`` of the installed botocore is the source, so that a new partition needs no new
release. It is static data that ships with the package: to read it once is no look at the world.
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
    """The partition that lists the Region; else the one whose pattern it follows, as a Region
    newer than the installed botocore does."""
    listed = (p for p in partitions() if region in p["regions"])
    alike = (p for p in partitions() if re.match(p["regionRegex"], region))
    return next(listed, None) or next(alike, None)


def partition_of(region: str) -> str:
    """The partition in the ARNs of ``region``: ``aws``, ``aws-cn``, ``aws-us-gov``, ``aws-iso``,
    ``aws-eusc`` and so on; the commercial one where nothing is known of the Region."""
    found = _known(region)
    return str(found["id"]) if found else COMMERCIAL


def ec2_principals(region: str) -> list[str]:
    """The names under which EC2 takes the role of an instance, for the role's trust policy.

    ``ec2.amazonaws.com`` everywhere, the sovereign cloud included (there IAM rejects
    ``ec2.amazonaws.eu`` as an invalid principal). China knows a second form, which some services
    ask for ("Amazon Web Services in China, Getting Started", IAM, "Service principals in
    policies"), and the isolated partitions have a domain of their own (AWS CDK, ``region-info``).
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
    """What a VPC endpoint is for, from its service name: ``ecr.dkr``.

    The name has a prefix by partition before the Region: ``com.amazonaws.us-east-1.ecr.dkr``,
    ``cn.com.amazonaws.cn-north-1.ecr.dkr``, ``eu.amazonaws.eusc-de-east-1.ecr.dkr``.
    """
    labels = name.split(".")
    at = next((i for i, label in enumerate(labels) if _REGION.fullmatch(label)), None)
    return ".".join(labels[at + 1 :]) if at is not None else name
