"""Which entries of a package import each other, and on how many levels they lie."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path


def _modules(path: Path) -> Iterator[Path]:
    yield from path.rglob("*.py") if path.is_dir() else [path]


def _imported(file: Path, root: Path) -> Iterator[str]:
    """Dotted names that ``file`` imports, relative ones resolved against ``root``."""
    package = file.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def import_edges(package: Path, root: Path) -> dict[str, set[str]]:
    """The entries (modules and folders) of ``package``, each with the entries that it imports."""
    entries = {
        p.stem if p.is_file() else p.name: p
        for p in sorted(package.iterdir())
        if (p.suffix == ".py" and p.name != "__init__.py") or (p / "__init__.py").is_file()
    }
    prefix = ".".join(package.relative_to(root).parts) + "."
    edges: dict[str, set[str]] = {}
    for name, path in entries.items():
        names = {n.removeprefix(prefix) for m in _modules(path) for n in _imported(m, root)}
        edges[name] = {n.split(".")[0] for n in names} & entries.keys() - {name}
    return edges


def levels(edges: Mapping[str, set[str]]) -> dict[str, int]:
    """The level of each entry: 1 where it imports no other. Raises graphlib.CycleError."""
    level: dict[str, int] = {}
    for name in TopologicalSorter(edges).static_order():
        level[name] = 1 + max((level[n] for n in edges[name]), default=0)
    return level
