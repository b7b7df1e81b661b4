"""The resources that task definitions reference, quotas and rights, for `doctor`.

The values of secrets and parameters are never read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.pages import batches, read_all
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
"""Public parameters of ECS's GPU-optimized AMIs, the newest system first (ECS developer guide,
"Retrieving Amazon ECS-optimized Linux AMI metadata")."""


async def fetch_identity(aws: Aws) -> Identity:
    """Return the owner of the credentials, and this clock's deviation. Raises `AwsError`."""
    sent_at = time.time()
    answer = await aws.call("sts", "GetCallerIdentity")
    local = (sent_at + time.time()) / 2
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    skew = local - parsedate_to_datetime(date).timestamp() if date else None
    return Identity(answer["Arn"], answer["Account"], skew)


async def simulate_rights(aws: Aws, principal: str, simulations: Iterable[Simulation]) -> Simulated:
    """Return which rights ``principal`` lacks, by IAM's policy simulator. Raises `AwsError`."""
    denied: set[tuple[str, str]] = set()
    answers = 0
    for simulation in simulations:
        results = await read_all(
            *(aws, "iam", "SimulatePrincipalPolicy", "EvaluationResults"),
            PolicySourceArn=principal,
            ActionNames=list(simulation.actions),
            ResourceArns=list(simulation.resources),
            ContextEntries=[
                {"ContextKeyName": k, "ContextKeyType": kind, "ContextKeyValues": list(values)}
                for k, (kind, values) in simulation.context.items()
            ],
        )
        for result in results:
            # With several resources, each has its own decision.
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
    """Return the services that may assume the role; None if it does not exist.

    Raises `AwsError`.
    """
    try:
        answer = await aws.call("iam", "GetRole", RoleName=resource_name(arn))
    except AwsError as error:
        if error.code != "NoSuchEntity":
            raise
        return None
    return trusted_services(answer["Role"].get("AssumeRolePolicyDocument"))


async def find_secret_problem(aws: Aws, reference: str) -> str | None:
    """Return what is wrong with a secret, or None. Raises `AwsError`."""
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
    """Return what is wrong with each parameter, or None for it. Raises `AwsError`."""
    names = {r: parameter_names(r) for r in references}
    known: set[str] = set()
    candidates = sorted({name for group in names.values() for name in group})
    for batch in batches(candidates, PARAMETERS_PER_CALL):
        filters = [{"Key": "Name", "Option": "Equals", "Values": batch}]
        parameters = await read_all(
            aws, "ssm", "DescribeParameters", "Parameters", ParameterFilters=filters
        )
        known |= {p["Name"] for p in parameters}
    return {r: "does not exist" if known.isdisjoint(group) else None for r, group in names.items()}


async def log_group_exists(aws: Aws, name: str) -> bool:
    """Whether there is a log group of this name. Raises `AwsError`."""
    groups = await read_all(aws, "logs", "DescribeLogGroups", "logGroups", logGroupNamePrefix=name)
    return any(g.get("logGroupName") == name for g in groups)


async def image_exists(aws: Aws, image: EcrImage) -> bool:
    """Whether an image is in its repository. Raises `AwsError`."""
    image_id = {"imageDigest": image.digest} if image.digest else {"imageTag": image.tag}
    try:
        await aws.call(
            "ecr",
            "DescribeImages",
            registryId=image.registry,
            repositoryName=image.repository,
            imageIds=[image_id],
        )
    except AwsError as error:
        if error.code not in {"ImageNotFoundException", "RepositoryNotFoundException"}:
            raise
        return False
    return True


async def fetch_cloud_map_service(aws: Aws, arn: str) -> CloudMapService | None:
    """Return a Cloud Map service; None if it does not exist. Raises `AwsError`."""
    try:
        answer = await aws.call("servicediscovery", "GetService", Id=resource_name(arn))
    except AwsError as error:
        if error.code != "ServiceNotFound":
            raise
        return None
    service = answer["Service"]
    namespace = await aws.call("servicediscovery", "GetNamespace", Id=service["NamespaceId"])
    records = (service.get("DnsConfig") or {}).get("DnsRecords", ())
    ttl = next((int(r["TTL"]) for r in records if r["Type"] == "A"), None)
    return CloudMapService(f"{service['Name']}.{namespace['Namespace']['Name']}", ttl)


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
    filters = [{"Name": "NAME", "Values": [namespace], "Condition": "EQ"}]
    namespaces = await read_all(
        aws, "servicediscovery", "ListNamespaces", "Namespaces", Filters=filters
    )
    return any(n.get("Name") == namespace for n in namespaces)


async def fetch_recommended_images(aws: Aws) -> tuple[RecommendedImage, ...]:
    """Return AWS's newest GPU AMIs for ECS. Raises `AwsError`."""
    answer = await aws.call("ssm", "GetParameters", Names=list(RECOMMENDED))
    values = {p["Name"]: json.loads(p["Value"]) for p in answer.get("Parameters", ())}
    return tuple(
        RecommendedImage(
            values[name]["image_id"],
            values[name].get("image_name", ""),
            values[name].get("ecs_agent_version", ""),
        )
        for name in RECOMMENDED
        if name in values
    )


async def fetch_quotas(
    aws: Aws, services: Iterable[str], names: Collection[str]
) -> Mapping[str, float]:
    """Return the account's values of the quotas called ``names``. Raises `AwsError`."""
    by_name: dict[str, float] = {}
    for service in services:
        quotas = await read_all(
            aws, "service-quotas", "ListServiceQuotas", "Quotas", ServiceCode=service
        )
        by_name |= {
            q["QuotaName"]: float(q["Value"])
            for q in quotas
            if q.get("QuotaName") in names and "Value" in q
        }
    return by_name


def trusted_services(document: object) -> frozenset[str]:
    """Return the services that a role's trust policy allows to assume it.

    The document is as IAM returns it: URL-encoded unless botocore has decoded it.
    """
    if isinstance(document, str):
        try:
            document = json.loads(unquote(document))
        except ValueError:
            return frozenset()
    trusted: set[str] = set()
    statements = document.get("Statement", ()) if isinstance(document, dict) else ()
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal", {})
        services = principal.get("Service", ()) if isinstance(principal, dict) else ()
        if statement.get("Effect") == "Allow":
            trusted |= {services} if isinstance(services, str) else set(services)
    return frozenset(trusted)
