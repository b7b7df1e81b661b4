"""Nothing outside `ecs_dynamo.aws` calls AWS; import-linter keeps botocore there."""

from __future__ import annotations

import ast
from pathlib import Path

import ecs_dynamo

ROOT = Path(ecs_dynamo.__file__).parent
ALLOWED = ("aws", "local")


def calls_aws(tree: ast.AST) -> bool:
    """Whether there is a call like ``aws.call("ecs", "DescribeServices", ...)``, or `Aws.call`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "call":
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if name.lower().endswith("aws"):
                return True
    return False


def test_only_aws_calls_aws() -> None:
    files = [p for p in ROOT.rglob("*.py") if p.relative_to(ROOT).parts[0] not in ALLOWED]
    assert len(files) > 100
    callers = [str(p.relative_to(ROOT)) for p in files if calls_aws(ast.parse(p.read_text()))]
    assert not callers


def test_calls_are_recognized() -> None:
    for text in ("await aws.call('ecs', 'ListTasks')", "self._aws.call", "reconciler.aws.call(x)"):
        assert calls_aws(ast.parse(text))
    assert not calls_aws(ast.parse("mock.call('ecs')"))
