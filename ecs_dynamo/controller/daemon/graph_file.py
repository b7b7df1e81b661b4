"""The graph file of a running daemon: the last valid version stays in force."""

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
    """A graph file and its last valid version.

    ``error`` is the reason why the current version is rejected. ``unplannable`` is set when the
    current version could be read but planning failed with it.
    """

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self.error: str | None = None
        self.unplannable = False
        loaded = load_graph(path, environ)
        self.graph: Graph = loaded.graph
        self._files = loaded.files
        self._stamp = self._stat()

    def _stat(self) -> tuple[Any, ...]:
        """Return time, size and inode of every file that exists."""
        stamps: list[Any] = []
        for file in self._files:
            with suppress(OSError, ValueError):
                stat = file.stat()
                stamps.append((str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(stamps)

    def changed(self) -> bool:
        """Whether one of the files has changed since it was read."""
        return self._stat() != self._stamp

    def reload(self) -> bool:
        """Read the file again. Returns whether there is a new graph.

        An invalid file is rejected, and the last valid graph stays. Never raises: neither the
        content of a file nor a disk error may end the daemon.
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
            self._reject(str(error))
            return False
        except Exception as error:
            _log.exception("failed to read the graph file")
            self._reject(
                f"{self._path}: cannot be read ({type(error).__name__}: {str(error)[:200]}); "
                "this is a bug in ecs-dynamo"
            )
            return False
        self._files, self.error = loaded.files, None
        self._stamp = self._stat()
        if loaded.graph == self.graph:
            return False
        self.graph = loaded.graph
        return True

    def _reject(self, error: str) -> None:
        self._stamp = self._stat()
        self.error = error
        _log.error("graph file rejected, the last valid one stays in force", error=error)

    def reject(self, reason: str, good: Graph) -> None:
        """Reject the current version because planning failed; ``good`` is in force again."""
        self.graph, self.unplannable = good, True
        self._reject(f"{self._path}: {reason}")
