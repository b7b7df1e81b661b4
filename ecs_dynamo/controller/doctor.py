"""`doctor`: everything that commonly stands in the way, looked at in one go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable
from email.utils import parsedate_to_datetime

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe import RevisionCache, observe_ecs
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.planning.capacity_diagnosis import check_capacity
from ecs_dynamo.planning.diagnosis import (
    Finding,
    Severity,
    check_clock,
    check_clusters,
    check_gpus,
    check_security_groups,
    check_subnets,
    secret_references,
)
from ecs_dynamo.planning.iam import daemon_policy
from ecs_dynamo.planning.iam_tasks import graph_roles

SERVICES = ("ecs", "ec2", "sts", "iam", "secretsmanager", "ssm", "autoscaling")
CHECK_SECONDS = 30.0


async def diagnose(aws: Aws, graph: Graph) -> list[Finding]:
    """Every finding, worst first. Reads only; never raises for what it can not see."""
    checks = {
        "credentials": _identity(aws, graph),
        "clusters": _ecs(aws, graph),
        "security groups": _groups(aws, graph),
        "subnets": _subnets(aws, graph),
        "roles": _roles(aws, graph),
        "secrets": _secrets(aws, graph),
    }
    found = await asyncio.gather(*(_guarded(name, check) for name, check in checks.items()))
    rank = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.UNKNOWN: 2, Severity.OK: 3}
    return sorted((f for part in found for f in part), key=lambda f: rank[f.severity])


async def _guarded(name: str, check: Awaitable[Iterable[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return list(await check)
    except AwsError as error:
        return [Finding(name, Severity.UNKNOWN, str(error), "grant the right, or check by hand")]
    except TimeoutError:
        return [Finding(name, Severity.UNKNOWN, f"no answer within {CHECK_SECONDS:.0f} s")]


async def _identity(aws: Aws, graph: Graph) -> list[Finding]:
    answer = await aws.call("sts", "GetCallerIdentity")
    arn = answer["Arn"]
    findings = [Finding("credentials", Severity.OK, arn)]
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date:
        findings.append(check_clock(time.time(), parsedate_to_datetime(date).timestamp()))
    policy = daemon_policy(graph, graph.region or "us-east-1", answer["Account"])
    actions = sorted({a for s in policy["Statement"] for a in s["Action"]})
    try:
        simulated = await aws.call(
            "iam", "SimulatePrincipalPolicy", PolicySourceArn=_principal(arn), ActionNames=actions
        )
    except AwsError as error:
        text = f"could not be simulated: {error.code}"
        findings.append(
            Finding("rights", Severity.UNKNOWN, text, "compare with `ecs-dynamo iam render`")
        )
        return findings
    denied = [
        r["EvalActionName"]
        for r in simulated.get("EvaluationResults", ())
        if r.get("EvalDecision") != "allowed"
    ]
    findings.append(
        Finding(
            "rights",
            Severity.WARNING,
            f"not allowed on *: {', '.join(denied)}",
            "compare with `ecs-dynamo iam render`; rights bound to resources show here too",
        )
        if denied
        else Finding("rights", Severity.OK, f"{len(actions)} actions allowed")
    )
    return findings


def _principal(arn: str) -> str:
    """The IAM role of a session of it: IAM knows no sessions. A role's path is not in there."""
    _, partition, _, _, account, name = arn.split(":", 5)
    kind, _, rest = name.partition("/")
    if kind != "assumed-role":
        return f"arn:{partition}:iam::{account}:{name}"
    return f"arn:{partition}:iam::{account}:role/{rest.split('/')[0]}"


async def _ecs(aws: Aws, graph: Graph) -> list[Finding]:
    seen = await observe_ecs(aws, graph, time.time(), CHECK_SECONDS / 2, RevisionCache())
    return [
        *check_clusters(graph, seen),
        *check_gpus(graph, seen),
        *check_capacity(graph, seen),
    ]


def _filter(name: str, values: Iterable[str]) -> list[dict[str, object]]:
    # As a filter, not as ids: one that is missing must not hide the others.
    return [{"Name": name, "Values": sorted(values)}]


async def _groups(aws: Aws, graph: Graph) -> Iterable[Finding]:
    wanted = {g for c in graph.components for g in c.network.security_groups}
    if not wanted:
        return []
    answer = await aws.call("ec2", "DescribeSecurityGroups", Filters=_filter("group-id", wanted))
    return check_security_groups(graph, answer.get("SecurityGroups", []))


async def _subnets(aws: Aws, graph: Graph) -> Iterable[Finding]:
    wanted = {s for c in graph.components for s in c.network.subnets}
    if not wanted:
        return []
    subnets = await aws.call("ec2", "DescribeSubnets", Filters=_filter("subnet-id", wanted))
    found = subnets.get("Subnets", [])
    vpcs = {s["VpcId"] for s in found}
    tables = (
        await aws.call("ec2", "DescribeRouteTables", Filters=_filter("vpc-id", vpcs))
        if vpcs
        else {}
    )
    return check_subnets(graph, found, tables.get("RouteTables", []))


async def _roles(aws: Aws, graph: Graph) -> list[Finding]:
    async def one(arn: str) -> Finding:
        name = arn.rsplit("/", 1)[-1]
        try:
            await aws.call("iam", "GetRole", RoleName=name)
        except AwsError as error:
            if error.code != "NoSuchEntity":
                raise
            return Finding("roles", Severity.ERROR, f"{arn} does not exist", "create it; see iam/")
        return Finding("roles", Severity.OK, arn)

    return list(await asyncio.gather(*(one(arn) for arn in graph_roles(graph))))


async def _secrets(aws: Aws, graph: Graph) -> list[Finding]:
    secrets, parameters = secret_references(graph)

    async def secret(name: str) -> Finding:
        try:
            await aws.call("secretsmanager", "DescribeSecret", SecretId=name)
        except AwsError as error:
            if error.code != "ResourceNotFoundException":
                raise
            return Finding("secrets", Severity.ERROR, f"{name} does not exist", "create it")
        return Finding("secrets", Severity.OK, name)

    findings = list(await asyncio.gather(*(secret(name) for name in secrets)))
    if parameters:
        answer = await aws.call(
            "ssm",
            "DescribeParameters",
            ParameterFilters=[{"Key": "Name", "Option": "Equals", "Values": parameters}],
        )
        known = {p["Name"] for p in answer.get("Parameters", ())}
        findings += [
            Finding("secrets", Severity.OK, name)
            if name in known
            else Finding("secrets", Severity.ERROR, f"{name} does not exist", "create it")
            for name in parameters
        ]
    return findings
