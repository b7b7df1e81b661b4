"""Volumes without mounts: paths at which volumes are mounted are rewritten to folders.

A process has no file system of its own, so every mount path in its command line and environment is
replaced by the volume's folder. This needs no privileges. Its limit: a program that uses a mount
path which is hard-coded in it does not find the volume.
"""

from __future__ import annotations

import re
from pathlib import Path

_NOT_BEFORE = r"(?<![\w./@-])"
_NOT_AFTER = r"(?![\w.@-])"


class Mounts:
    """Rewrites mount paths in texts.

    `hide` replaces each mount path by a token, and `show` replaces the tokens by folders. Rules
    that rewrite the text in between cannot match a mount path.
    """

    def __init__(self, mounts: tuple[tuple[str, Path], ...]) -> None:
        # Longest first, since a mount path can lie within another one.
        self._mounts = sorted(mounts, key=lambda mount: -len(mount[0]))

    def hide(self, text: str) -> str:
        """Return ``text`` with a token in place of each mount path."""
        for number, (path, _) in enumerate(self._mounts):
            pattern = f"{_NOT_BEFORE}{re.escape(path.rstrip('/'))}{_NOT_AFTER}"
            text = re.sub(pattern, f"@volume{number}@", text)
        return text

    def show(self, text: str) -> str:
        """Return ``text`` with the volume's folder in place of each token."""
        for number, (_, folder) in enumerate(self._mounts):
            text = text.replace(f"@volume{number}@", str(folder))
        return text
