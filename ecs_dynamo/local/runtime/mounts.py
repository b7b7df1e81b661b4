"""Volumes without a file system of one's own: the paths they are mounted at, rewritten to folders.

A process sees the whole machine, so a program is told of the folder instead of the path; what it
looks for by itself, without being told, it does not find there. That needs no rights.
"""

from __future__ import annotations

import re
from pathlib import Path

_NOT_BEFORE = r"(?<![\w./@-])"
_NOT_BEHIND = r"(?![\w.@-])"


class Mounts:
    """Rewrites texts. In between `hide` and `show` a path is a word that no rule would match."""

    def __init__(self, mounts: tuple[tuple[str, Path], ...]) -> None:
        # What lies within another mounted path comes first.
        self._mounts = sorted(mounts, key=lambda mount: -len(mount[0]))

    def hide(self, text: str) -> str:
        for number, (path, _) in enumerate(self._mounts):
            pattern = f"{_NOT_BEFORE}{re.escape(path.rstrip('/'))}{_NOT_BEHIND}"
            text = re.sub(pattern, f"@volume{number}@", text)
        return text

    def show(self, text: str) -> str:
        for number, (_, folder) in enumerate(self._mounts):
            text = text.replace(f"@volume{number}@", str(folder))
        return text
