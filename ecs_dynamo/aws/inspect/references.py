"""Looking for what task definitions refer to, and at quotas and rights, for `doctor`.

No value of a secret or parameter is ever asked for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.pages import read_all
from ecs_dynamo.common.arns import (
    is_arn,
    resource_name,
)
from ecs_dynamo.model.doctor import (
    CloudMapService,
    Identity,
    RecommendedImage,
    Simulated,
    Simulation,
)
from ecs_dynamo.model.ecs.secrets import parameter_names
from ecs_dynamo.model.ecs.task_definition import EcrImage
from ecs_dynamo.model.errors import AwsError

PARAMETERS_PER_CALL = 50
"""Values of a filter of DescribeParameters (SSM API reference)."""
RECOMMENDED = tuple(
    f"/aws/service/ecs/optimized-ami/{system}/gpu/recommended"
    for system in ("amazon-linux-2023", "amazon-linux-2")
)
"""Public parameters of ECS's GPU-optimised AMIs, the newest system first (ECS developer guide,
"Retrieving Amazon ECS-optimized Linux AMI metadata")."""


async def fetch_identity(aws: Aws) -> Identity:
    """Whose credentials they are, and how far the clock is off. Raises `AwsError`."""
    asked = time.time()
    answer = await aws.call("sts", "GetCallerIdentity")
    here = (asked + time.time()) / 2
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    skew = here - parsedate_to_datetime(date).timestamp() if date else None
    return Identity(answer["Arn"], answer["Account"], skew)


async def simulate_rights(aws: Aws, principal: str, asked: Iterable[Simulation]) -> Simulated:
    """Ask IAM's policy simulator. Raises `AwsError`."""
    denied: set[tuple[str, str]] = set()
    answers = 0
    for one in asked:
        results = await read_all(
            *(aws, "iam", "SimulatePrincipalPolicy", "EvaluationResults"),
            PolicySourceArn=principal,
            ActionNames=list(one.actions),
            ResourceArns=list(one.resources),
            ContextEntries=[
                {"ContextKeyName": k, "ContextKeyType": kind, "ContextKeyValues": list(values)}
                for k, (kind, values) in one.context.items()
            ],
        )
        for result in results:
            # With several resources each has its own decision; the whole is then their sum.
            parts = result.get("ResourceSpecificResults") or [
                {
                    "EvalResourceName": result.get("EvalResourceName", "*"),
                    "EvalResourceDecision": result.get("EvalDecision"),
                }
            ]
            answers += len(parts)
            denied |= {
                (result["EvalActionName"], part["EvalResourceName"])
                for part in parts
                if part.get("EvalResourceDecision") != "allowed"
            }
    return Simulated(principal, answers, tuple(sorted(denied)))


async def fetch_trusted_services(aws: Aws, arn: str) -> frozenset[str] | None:
    """The services that may take the role; None where there is none. Raises `AwsError`."""
    try:
        answer = await aws.call("iam", "GetRole", RoleName=resource_name(arn))
    except AwsError as error:
        if error.code != "NoSuchEntity":
            raise
        return None
    return trusted(answer["Role"].get("AssumeRolePolicyDocument"))


async def find_secret_problem(aws: Aws, reference: str) -> str | None:
    """What is wrong with a secret; None where nothing is. Raises `AwsError`."""
    try:
        answer = await aws.call("secretsmanager", "DescribeSecret", SecretId=reference)
    except AwsError as error:
        if error.code != "ResourceNotFoundException":
            raise
        return "does not exist"
    return "is scheduled for deletion" if answer.get("DeletedDate") else None


async def find_parameter_problems(
    aws: Aws, references: Collection[str]
) -> Mapping[str, str | None]:
    """What is wrong with each parameter; None where nothing is. Raises `AwsError`."""
    names = {r: parameter_names(r) for r in references}
    known: set[str] = set()
    wanted = sorted({name for candidates in names.values() for name in candidates})
    for start in range(0, len(wanted), PARAMETERS_PER_CALL):
        batch = wanted[start : start + PARAMETERS_PER_CALL]
        named = [{"Key": "Name", "Option": "Equals", "Values": batch}]
        found = await read_all(
            aws, "ssm", "DescribeParameters", "Parameters", ParameterFilters=named
        )
        known |= {p["Name"] for p in found}
    return {
        r: "does not exist" if known.isdisjoint(candidates) else None
        for r, candidates in names.items()
    }


async def log_group_exists(aws: Aws, name: str) -> bool:
    """Whether there is a log group of this name. Raises `AwsError`."""
    found = await read_all(aws, "logs", "DescribeLogGroups", "logGroups", logGroupNamePrefix=name)
    return any(g.get("logGroupName") == name for g in found)


async def image_exists(aws: Aws, image: EcrImage) -> bool:
    """Whether an image is in its repository. Raises `AwsError`."""
    wanted = {"imageDigest": image.digest} if image.digest else {"imageTag": image.tag}
    try:
        await aws.call(
            "ecr",
            "DescribeImages",
            registryId=image.registry,
            repositoryName=image.repository,
            imageIds=[wanted],
        )
    except AwsError as error:
        if error.code not in {"ImageNotFoundException", "RepositoryNotFoundException"}:
            raise
        return False
    return True


async def fetch_cloud_map_service(aws: Aws, arn: str) -> CloudMapService | None:
    """A Cloud Map service; None where there is none. Raises `AwsError`."""
    try:
        answer = await aws.call("servicediscovery", "GetService", Id=resource_name(arn))
    except AwsError as error:
        if error.code != "ServiceNotFound":
            raise
        return None
    service = answer["Service"]
    space = await aws.call("servicediscovery", "GetNamespace", Id=service["NamespaceId"])
    records = (service.get("DnsConfig") or {}).get("DnsRecords", ())
    ttl = next((int(r["TTL"]) for r in records if r["Type"] == "A"), None)
    return CloudMapService(f"{service['Name']}.{space['Namespace']['Name']}", ttl)


async def namespace_exists(aws: Aws, namespace: str) -> bool:
    """Whether there is a Cloud Map namespace of this name or ARN. Raises `AwsError`."""
    if is_arn(namespace):
        try:
            await aws.call("servicediscovery", "GetNamespace", Id=resource_name(namespace))
        except AwsError as error:
            if error.code != "NamespaceNotFound":
                raise
            return False
        return True
    named = [{"Name": "NAME", "Values": [namespace], "Condition": "EQ"}]
    found = await read_all(aws, "servicediscovery", "ListNamespaces", "Namespaces", Filters=named)
    return any(n.get("Name") == namespace for n in found)


async def fetch_recommended_images(aws: Aws) -> tuple[RecommendedImage, ...]:
    """AWS's newest GPU AMIs for ECS. Raises `AwsError`."""
    answer = await aws.call("ssm", "GetParameters", Names=list(RECOMMENDED))
    told = {p["Name"]: json.loads(p["Value"]) for p in answer.get("Parameters", ())}
    return tuple(
        RecommendedImage(
            told[name]["image_id"],
            told[name].get("image_name", ""),
            told[name].get("ecs_agent_version", ""),
        )
        for name in RECOMMENDED
        if name in told
    )


async def fetch_quotas(
    aws: Aws, services: Iterable[str], names: Collection[str]
) -> Mapping[str, float]:
    """The account's values of the quotas called ``names``. Raises `AwsError`."""
    found: dict[str, float] = {}
    for service in services:
        quotas = await read_all(
            aws, "service-quotas", "ListServiceQuotas", "Quotas", ServiceCode=service
        )
        found |= {
            q["QuotaName"]: float(q["Value"])
            for q in quotas
            if q.get("QuotaName") in names and "Value" in q
        }
    return found


def trusted(document: object) -> frozenset[str]:
    """The services that a role's trust policy lets take it. The document is as IAM gives it: URL
    encoded, where botocore did not decode it."""
    if isinstance(document, str):
        try:
            document = json.loads(unquote(document))
        except ValueError:
            return frozenset()
    found: set[str] = set()
    statements = document.get("Statement", ()) if isinstance(document, dict) else ()
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal", {})
        services = principal.get("Service", ()) if isinstance(principal, dict) else ()
        if statement.get("Effect") == "Allow":
            found |= {services} if isinstance(services, str) else set(services)
    return frozenset(found)
