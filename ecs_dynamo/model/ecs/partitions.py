"""AWS's partitions: which one a Region is in, and the names that depend on it.

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
    """Return the partition that lists the Region, or else the one whose pattern it matches.

    A Region that is newer than the installed botocore matches a pattern only.
    """
    listed = (p for p in partitions() if region in p["regions"])
    alike = (p for p in partitions() if re.match(p["regionRegex"], region))
    return next(listed, None) or next(alike, None)


def partition_of(region: str) -> str:
    """Return the partition in the ARNs of ``region``, such as ``aws``, ``aws-cn``, ``aws-us-gov``.

    It is the commercial partition for an unknown Region.
    """
    partition = _known(region)
    return str(partition["id"]) if partition else COMMERCIAL


def ec2_principals(region: str) -> list[str]:
    """Return EC2's service principals, for the trust policy of an instance's role.

    ``ec2.amazonaws.com`` everywhere, including the sovereign cloud (where IAM rejects
    ``ec2.amazonaws.eu`` as an invalid principal). China has a second form, which some services
    require ("Amazon Web Services in China, Getting Started", IAM, "Service principals in
    policies"), and the isolated partitions have a domain of their own (AWS CDK, ``region-info``).
    """
    name = "ec2.amazonaws.com"
    partition = _known(region)
    if partition is None:
        return [name]
    own = f"ec2.{partition['outputs']['dnsSuffix']}"
    if partition["id"] == CHINA:
        return [name, own]
    return [own] if str(partition["id"]).startswith("aws-iso") else [name]


def endpoint_service(name: str) -> str:
    """Return the service of a VPC endpoint, such as ``ecr.dkr``, from its service name.

    The name has a prefix by partition before the Region: ``com.amazonaws.us-east-1.ecr.dkr``,
    ``cn.com.amazonaws.cn-north-1.ecr.dkr``, ``eu.amazonaws.eusc-de-east-1.ecr.dkr``.
    """
    labels = name.split(".")
    at = next((i for i, label in enumerate(labels) if _REGION.fullmatch(label)), None)
    return ".".join(labels[at + 1 :]) if at is not None else name
