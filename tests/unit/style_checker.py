"""Find phrases of the word list, and docstrings that are fragments, in the project's own text."""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.unit.style_phrases import (
    IDENTIFIERS,
    PHRASES,
    PLACEHOLDERS,
    TEXT_STARTS,
)

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".md", ".yaml", ".yml"}
NAMES = {"Makefile", "Dockerfile", "run"}
"""Names of checked files without a suffix; `run` is `.ci/run`."""
SKIPPED_FOLDERS = {"__pycache__", "demo-output", "fixtures"}
SKIPPED_AT_ROOT = {"build", "dist"}
EXEMPT = {
    "docs/style.md": "it names the phrases",
    "tests/unit/style_phrases.py": "the word list itself",
    "tests/unit/test_style.py": "it tests the checker with phrases of the list",
}
START = "a text that begins with a verb or a noun"
AWS_MESSAGES = ("TaskDefinition can not be blank.", "subnets can not be empty.")
"""Messages of AWS that the local ECS repeats word for word; they are not checked."""
_AWS_MESSAGES = re.compile("|".join(re.escape(message) for message in AWS_MESSAGES))
_PATTERNS = [(p.compiled(), p.instead) for p in PHRASES]
_COMMENT_START = re.compile(rf"# *(?:{'|'.join(TEXT_STARTS)})")
_IDENTIFIERS = [(re.compile(pattern), instead) for pattern, instead in IDENTIFIERS.items()]


class Problem(NamedTuple):
    """A violation. Its text names the file, the line, the phrase and the replacement."""

    path: str
    line: int
    phrase: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase!r}: write {self.instead}"


def checked_files(root: Path = ROOT) -> Iterator[Path]:
    """Every text file of the project, in order of its path."""
    for folder, folders, names in os.walk(root):
        at_root = Path(folder) == root
        folders[:] = sorted(
            f
            for f in folders
            if f not in SKIPPED_FOLDERS
            and not (at_root and f in SKIPPED_AT_ROOT)
            and (not f.startswith(".") or (at_root and f == ".ci"))
        )
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix in SUFFIXES or name in NAMES:
                yield path


def phrase_problems(path: str, text: str) -> Iterator[Problem]:
    """Uses of phrases of the word list in ``text``."""
    quoted = [m.span() for m in _AWS_MESSAGES.finditer(text)]
    for pattern, instead in _PATTERNS:
        for match in pattern.finditer(text):
            if any(start <= match.start() < end for start, end in quoted):
                continue
            line = text.count("\n", 0, match.start()) + 1
            yield Problem(path, line, " ".join(match.group().split()), instead)


def _documented(tree: ast.Module) -> Iterator[ast.Constant]:
    """Docstrings of modules, classes and functions, and the texts below constants and fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """The first line of each comment, without its sign, and its line number."""
    if not _COMMENT_START.search(text):
        return  # Reading tokens is slow, and most files have no such comment.
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            line = token.start[0]
            if line != last + 1 or token.line.split("#")[0].strip():
                yield line, token.string.lstrip("# ")
            last = line


def _identifiers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that a module defines, and its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno


def python_problems(path: str, text: str) -> Iterator[Problem]:
    """Docstrings that begin as fragments, and identifiers that are not used here."""
    tree = ast.parse(text)
    for constant in _documented(tree):
        if isinstance(constant.value, str) and constant.value.startswith(TEXT_STARTS):
            start = constant.value.split("\n")[0][:40]
            yield Problem(path, constant.lineno, start, START)
    for line, comment in _comments(text):
        if comment.startswith(TEXT_STARTS):
            yield Problem(path, line, comment[:40], START)
    for name, line in _identifiers(tree):
        if name in PLACEHOLDERS:
            yield Problem(path, line, name, "the name of the thing")
        for pattern, instead in _IDENTIFIERS:
            if pattern.fullmatch(name):
                yield Problem(path, line, name, instead)


def problems(root: Path = ROOT) -> list[Problem]:
    """All violations below ``root``, in order of path and line."""
    violations: list[Problem] = []
    for file in checked_files(root):
        path = file.relative_to(root).as_posix()
        if path in EXEMPT:
            continue
        text = file.read_text(encoding="utf-8")
        violations += phrase_problems(path, text)
        if file.suffix == ".py":
            violations += python_problems(path, text)
    return sorted(violations)
