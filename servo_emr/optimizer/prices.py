"""Prices that the operator hands over: the document that `servo-emr prices -o json` prints.

Reads that document and no other; never asks anybody. What a cluster costs is the search's arithmetic.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Prices", "on_spot"]


def on_spot(inst_type: str) -> str:
    """The name under which a type's price on spot stands beside its price on demand."""
    return f"{inst_type} on spot"


@dataclass(frozen=True)
class Prices:
    """USD per instance-hour, EC2 and EMR fee together, by instance type, on demand and where known `on_spot`; `region`
    and `source` for who reads them.
    """

    usd_per_hour: Mapping[str, float]
    region: str = ""
    source: str = ""

    @classmethod
    def read(cls, path: Path) -> Prices:
        """The prices in a file.

        Raises:
            ValueError: it cannot be read, or is not what `servo-emr prices -o json` prints; names the file and place.
        """
        remedy = "Make it with `servo-emr prices -o json > FILE`."
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: no prices can be read from it: {error}. {remedy}") from error
        try:
            return cls.parse(document)
        except ValueError as error:
            raise ValueError(f"{path}: {error}. {remedy}") from error

    @classmethod
    def parse(cls, document: Any) -> Prices:
        """The prices in a document.

        Raises:
            ValueError: it is not what `servo-emr prices -o json` prints; the message names the place.
        """
        if not isinstance(document, dict) or not isinstance(document.get("rates"), dict):
            raise ValueError("there are no `rates` in it")
        if document.get("currency", "USD") != "USD":
            raise ValueError(f"currency is {document['currency']!r}, not USD")
        if not document["rates"]:
            raise ValueError("`rates` is empty")
        found = {name: _hourly(name, rate) for name, rate in document["rates"].items()}
        found |= _spot(document)
        sources = {str(rate.get("ec2_source", "")) for rate in document["rates"].values()}
        return cls(found, str(document.get("region", "")), ", ".join(sorted(sources - {""})))


def _spot(document: dict[str, Any]) -> dict[str, float]:
    """What types cost on spot, the fee included."""
    spot = document.get("spot") or {}
    if not isinstance(spot, dict):
        raise ValueError("`spot` is no mapping")
    found = {}
    for name, usd in spot.items():
        if isinstance(usd, bool) or not isinstance(usd, (int, float)) or not 0 < usd < math.inf:
            raise ValueError(f"spot.{name} is {usd!r}, not USD per hour")
        if name in document["rates"]:
            found[on_spot(name)] = float(usd) + float(document["rates"][name]["fee"])
    return found


def _hourly(name: str, rate: Any) -> float:
    """EC2 and fee of one type."""
    parts = [rate.get(part) if isinstance(rate, dict) else None for part in ("ec2", "fee")]
    for part, usd in zip(("ec2", "fee"), parts, strict=True):
        if isinstance(usd, bool) or not isinstance(usd, (int, float)) or not 0 <= usd < math.inf:
            raise ValueError(f"rates.{name}.{part} is {usd!r}, not USD per hour")
    total = math.fsum(float(usd) for usd in parts if usd is not None)
    if not total:
        raise ValueError(f"rates.{name} is 0 USD per hour")
    return total
