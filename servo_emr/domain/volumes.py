"""The EBS volumes that EMR gives an instance when nobody asks for others, by its own documentation.

From the EMR Management Guide ("Customizing the Amazon EBS root device volume"), as read in November 2026: the root
volume has 15 GiB from emr-6.10.0 on and 10 GiB before, and is gp3 from emr-6.15.0 on and gp2 before.
"""

from __future__ import annotations

from servo_emr.domain.cluster import RootVolume, Volume

__all__ = ["root_volume"]

_LARGER_FROM = (6, 10, 0)
_GP3_FROM = (6, 15, 0)


def root_volume(release_label: str, asked: RootVolume | None = None) -> Volume:
    """The root volume of an instance of that release; `asked` is what was asked of it.

    Raises:
        ValueError: the label is none.
    """
    release = _version(release_label)
    asked = asked or RootVolume()
    size = asked.gib if asked.gib is not None else (15.0 if release >= _LARGER_FROM else 10.0)
    return Volume("gp3" if release >= _GP3_FROM else "gp2", size, asked.iops, asked.throughput)


def _version(release_label: str) -> tuple[int, ...]:
    family, dash, version = release_label.partition("-")
    parts = version.split(".")
    if family != "emr" or not dash or not all(part.isdigit() for part in parts):
        raise ValueError(f"{release_label!r} is not a release label such as emr-7.1.0")
    return tuple(int(part) for part in parts)
