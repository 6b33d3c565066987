"""How one emulator is to be: values only, checked by whoever asks for it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from servo_emr.emulator.prices.spot_prices import History
from servo_emr.emulator.prices.table import PriceList
from servo_emr.emulator.world.durations import Ernest
from servo_emr.emulator.world.replay import Runtimes

__all__ = ["LOOPBACK", "Data", "Settings"]

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Data:
    """A folder to be found at s3://bucket/prefix."""

    bucket: str
    prefix: str
    folder: Path


@dataclass(frozen=True)
class Settings:
    """`host`: the IPv4 address that it listens on. `speed`: seconds of W a real second, 0 for a W driven by hand.

    `durations`: by a law, by a table, or None: real ones (wall). `noise` is the law's. `execute` False: steps only take
    their planned time. `process_cap`: real seconds that a process may run where durations are planned. `cores`: what a
    node's Spark uses. `region`: of the buckets that `data` makes. `with_parent`: end when the process that started this
    one has ended. `faults`: those in force from the start, as `load_faults` gives them; None: none. `prices`: what the
    price list and the spot market have; None: nothing is known of prices, and spot capacity is always there.
    `spot_history`: the spot market's prices; None: invented from `prices`.
    """

    port: int = 0
    host: str = LOOPBACK
    speed: float = 1.0
    durations: Ernest | Runtimes | None = None
    noise: float = 0.02
    execute: bool = True
    seed: str = field(default_factory=lambda: secrets.token_hex(4))
    process_cap: float = 1800.0
    cores: int = 2
    region: str = "us-east-1"
    data: Sequence[Data] = ()
    with_parent: bool = False
    faults: object = None
    prices: PriceList | None = None
    spot_history: History | None = None
