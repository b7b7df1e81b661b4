"""Values of secrets (Secrets Manager) and parameters (SSM Parameter Store)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.pages import batches
from ecs_dynamo.model.ecs.secrets import (
    is_secret,
    parameter_names,
    parse_secret,
)

PARAMETERS_PER_CALL = 10
"""Names in one GetParameters (SSM API reference)."""


async def read_references(aws: Aws, references: Sequence[str]) -> Mapping[str, str]:
    """Return the values by reference. Raises `AwsError`, or LookupError for an absent part."""
    secrets = [r for r in references if is_secret(r)]
    parts = await asyncio.gather(
        *(_secret(aws, reference) for reference in secrets),
        _parameters(aws, [r for r in references if not is_secret(r)]),
    )
    return {name: value for part in parts for name, value in part.items()}


async def _secret(aws: Aws, reference: str) -> Mapping[str, str]:
    secret = parse_secret(reference)
    key = secret.json_key
    versions = {"VersionStage": secret.stage, "VersionId": secret.version}
    answer = await aws.call(
        "secretsmanager",
        "GetSecretValue",
        SecretId=secret.arn,
        **{name: value for name, value in versions.items() if value},
    )
    text = answer.get("SecretString")
    if text is None:
        raise LookupError(f"{secret.arn} is binary; ECS injects only texts")
    if not key:
        return {reference: str(text)}
    try:
        return {reference: str(json.loads(text)[key])}
    except (ValueError, LookupError, TypeError, RecursionError):
        # The cause is left out because it would show the text.
        raise LookupError(f"{secret.arn} has no JSON key {key}") from None


async def _parameters(aws: Aws, references: Sequence[str]) -> Mapping[str, str]:
    candidates = {r: parameter_names(r) for r in references}
    names = sorted({name for group in candidates.values() for name in group})
    answers = await asyncio.gather(
        *(
            aws.call("ssm", "GetParameters", Names=batch, WithDecryption=True)
            for batch in batches(names, PARAMETERS_PER_CALL)
        )
    )
    values = {p["Name"]: str(p["Value"]) for a in answers for p in a.get("Parameters", ())}
    by_reference = {
        reference: next((values[name] for name in group if name in values), None)
        for reference, group in candidates.items()
    }
    missing = sorted(reference for reference, value in by_reference.items() if value is None)
    if missing:
        raise LookupError(f"there are no parameters {', '.join(missing)}")
    return {reference: value for reference, value in by_reference.items() if value is not None}
