"""Release labels as numbers: which release came before which. Knows no release by name."""

from __future__ import annotations

__all__ = ["fleets_available", "idle_timeout_available", "version"]


def version(release: str) -> tuple[int, ...]:
    """emr-5.28.0 -> (5, 28, 0); of a label without plain numbers, what can be read."""
    parts = release.removeprefix("emr-").removeprefix("spark-").split("-")[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def fleets_available(release: str) -> bool:
    """Instance fleets: emr-4.8.0 and later, but not emr-5.0.x, by AWS's documentation."""
    numbers = version(release)
    return numbers >= (4, 8) and numbers[:2] != (5, 0)


def idle_timeout_available(release: str) -> bool:
    """Auto-termination policies: emr-5.30.0 and emr-6.1.0 and later, by AWS's documentation."""
    numbers = version(release)
    return numbers >= (5, 30) and numbers[:2] != (6, 0)
