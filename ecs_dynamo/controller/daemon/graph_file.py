"""The graph file of a running daemon: what it last held that was right stays in force."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from ecs_dynamo.config import load_graph
from ecs_dynamo.model.errors import InputError, Problem
from ecs_dynamo.model.graph import Graph

_log = structlog.get_logger(__name__)


class GraphFile:
    """A graph file and what it last held that was right.

    ``error`` tells why the file as it is now is refused; ``unplannable`` that it could be read, and
    planning failed with it.
    """

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self.error: str | None = None
        self.unplannable = False
        self._files: tuple[Path, ...] = (path,)
        self._stamp = self._look()
        loaded = load_graph(path, environ)
        self.graph: Graph = loaded.graph
        self._files = loaded.files
        self._stamp = self._look()

    def _look(self) -> tuple[Any, ...]:
        stamps: list[Any] = []
        for file in self._files:
            with suppress(OSError, ValueError):
                stat = file.stat()
                stamps.append((str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(stamps)

    def changed(self) -> bool:
        """Whether a file it was read from is another than before."""
        return self._look() != self._stamp

    def reload(self) -> bool:
        """Read it again; keeps the last good graph where it is wrong now. True: a new graph.

        Never raises: whatever a file holds, and whatever a disk does, refuses the file alone.
        """
        self.unplannable = False
        try:
            loaded = load_graph(self._path, self._environ)
            if loaded.graph.name != self.graph.name or loaded.graph.region != self.graph.region:
                raise InputError(
                    Problem(
                        "the name or region of a running graph was changed",
                        file=str(self._path),
                        remedy="take it down and start the daemon again",
                    )
                )
        except InputError as error:
            return self._refused(str(error))
        except Exception as error:
            _log.exception("graph file not read")
            return self._refused(
                f"{self._path}: cannot be read ({type(error).__name__}: {str(error)[:200]}); "
                "this is a bug in ecs-dynamo"
            )
        self._files, self.error = loaded.files, None
        self._stamp = self._look()
        if loaded.graph == self.graph:
            return False
        self.graph = loaded.graph
        return True

    def _refused(self, error: str) -> bool:
        self._stamp = self._look()
        self.error = error
        _log.error("graph file refused, the last good one stays", error=error)
        return False

    def reject(self, why: str, good: Graph) -> None:
        """Planning failed with the graph that the file holds: ``good`` is in force again."""
        self.graph, self.unplannable = good, True
        self._refused(f"{self._path}: {why}")
