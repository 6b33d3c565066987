"""How one emulator is to be: values only, checked by whoever asks for it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from servo_emr.emulator.durations import Ernest

__all__ = ["Data", "Settings"]


@dataclass(frozen=True)
class Data:
    """A folder to be found at s3://bucket/prefix."""

    bucket: str
    prefix: str
    folder: Path


@dataclass(frozen=True)
class Settings:
    """`speed`: seconds of W a real second, 0 for a W driven by hand. `law` None: real durations (wall).

    `process_cap`: real seconds that a process may run under a law. `cores`: what a node's Spark uses. `region`: of the
    buckets that `data` makes. `with_parent`: end when the process that started this one has ended.
    """

    port: int = 0
    speed: float = 1.0
    law: Ernest | None = None
    noise: float = 0.02
    seed: str = field(default_factory=lambda: secrets.token_hex(4))
    process_cap: float = 1800.0
    cores: int = 2
    region: str = "us-east-1"
    data: Sequence[Data] = ()
    with_parent: bool = False
