"""The folders that were made and that nothing lies in yet: S3 cannot hold them, so this process remembers them.

Paths are `/bucket/key`. A folder is forgotten as soon as a key lies in it: from then on it is there by that key, and
goes with it, whoever deletes it. Any thread may call any method; nothing here knows S3.
"""

from __future__ import annotations

import threading

__all__ = ["EmptyFolders"]


class EmptyFolders:
    """A set of paths, each of which makes the folders above it exist too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: set[str] = set()

    def add(self, path: str) -> None:
        """Remember the folder."""
        with self._lock:
            self._paths.add(path)

    def has(self, path: str) -> bool:
        """Whether the path is such a folder, or one is below it."""
        with self._lock:
            return any(_within(folder, path) for folder in self._paths)

    def children(self, path: str) -> set[str]:
        """The names directly below the path."""
        prefix = f"{path}/"
        with self._lock:
            return {folder[len(prefix) :].split("/")[0] for folder in self._paths if folder.startswith(prefix)}

    def filled_by(self, path: str) -> None:
        """A key lies at the path now: none of the folders around it is empty any more."""
        with self._lock:
            self._paths = {folder for folder in self._paths if not path.startswith(f"{folder}/")}

    def remove(self, path: str) -> None:
        """Forget the folder and those below it."""
        with self._lock:
            self._paths = {folder for folder in self._paths if not _within(folder, path)}

    def move(self, source: str, target: str) -> None:
        """The folder and those below it lie at the target now."""
        with self._lock:
            moved = {folder for folder in self._paths if _within(folder, source)}
            self._paths = (self._paths - moved) | {target + folder[len(source) :] for folder in moved}


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
