"""The basis of a figure, in one line: whose prices, of when, in what currency; how counted; what is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from servo_emr.domain.money import Rate, StorageRate

__all__ = ["basis"]

_COUNTED = (
    "per second, at least 60 s per instance; EMR fee from creation to end, the higher of its two documented readings; "
    "not included: S3 requests and storage, NAT, data transfer, public addresses, taxes, discounts"
)


def basis(region: str, markets: Iterable[str], rates: Iterable[Rate], storage: Iterable[StorageRate]) -> str:
    """The line for a figure that was made with these prices; `markets` are phrases."""
    sources = [
        *_grouped({rate.inst_type: f"EC2 {rate.ec2_source}, EMR fee {rate.fee_source}" for rate in rates}),
        *_grouped({f"EBS {rate.kind}": rate.source for rate in storage}),
    ]
    prices = "; ".join(sources) or "no price was needed"
    return f"{region}, {' and '.join(markets) or 'no instance'}, USD; {prices}; {_COUNTED}"


def _grouped(sources: Mapping[str, str]) -> list[str]:
    """Names with the same source together."""
    names: dict[str, list[str]] = {}
    for name in sorted(sources):
        names.setdefault(sources[name], []).append(name)
    return [f"{', '.join(found)}: {source}" for source, found in names.items()]
