"""Asking price sources: in their order, pinned prices first, and refusing what is no price.

Knows sources by their port. What the prices are for, and what they add up to, is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.money import Prices, Rate, StorageRate
from servo_emr.domain.ports import PriceSource

__all__ = ["Asked", "Sources", "StoragePin"]

StoragePin = tuple[float, float | None, float | None]
"""USD per month for a GiB, for a provisioned IOPS, for a provisioned MiB/s; None: not pinned."""

_PIN = "emr.prices.overrides"
_PIN_EBS = "emr.prices.ebs"
_ALLOW = "emr.prices.allow_estimated_fees"
_PINNED = "pinned in servo.yaml"


@dataclass
class Asked:
    """What was found so far, what each source answered for what is missing, and what has to be said of it."""

    region: str
    rates: dict[str, Rate] = field(default_factory=dict)
    storage: dict[str, StorageRate] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    estimated: set[str] = field(default_factory=set)

    def without(self, inst_types: Collection[str], kinds: Collection[str]) -> tuple[list[str], list[str]]:
        """Those of the types and kinds that have no price yet."""
        return sorted(set(inst_types) - self.rates.keys()), sorted(set(kinds) - self.storage.keys())


class Sources:
    """The sources of list prices and the operator's own prices.

    Args:
        sources: asked in this order; the first that has a price decides it.
        allow_estimated_fees: whether an EMR fee that is only an estimate will do.
        overrides: type -> (EC2, EMR fee) in USD per instance-hour; no source is asked about these types.
        storage_overrides: kind of EBS volume -> its price; no source is asked about these kinds.
    """

    def __init__(
        self,
        sources: Sequence[PriceSource],
        allow_estimated_fees: bool,
        overrides: Mapping[str, tuple[float, float]],
        storage_overrides: Mapping[str, StoragePin],
    ) -> None:
        self._sources = tuple(sources)
        self._allow_estimated = allow_estimated_fees
        self._pinned = dict(overrides)
        self._pinned_storage = dict(storage_overrides)

    async def ask(
        self, region: str, inst_types: Collection[str], kinds: Collection[str], optional: Collection[str] = ()
    ) -> Asked:
        """A price for every type and kind; for the `optional` kinds too where it takes no further source.

        Raises:
            OperatorError: operator/price: what each source answered for each thing without a price.
        """
        asked = Asked(region)
        self._pin(asked, inst_types, {*kinds, *optional})
        for source in self._sources:
            missing_types, missing_kinds = asked.without(inst_types, kinds)
            if not missing_types and not missing_kinds:
                break
            _, wished = asked.without((), {*kinds, *optional})
            given = await source.prices(region, missing_types, wished)
            self._take_rates(asked, given, missing_types)
            _take_storage(asked, given, wished)
            if given.note:
                asked.notes.append(f"{given.source}: {given.note}")
        missing_types, missing_kinds = asked.without(inst_types, kinds)
        if missing_types or missing_kinds:
            raise _unknown(asked, missing_types, missing_kinds)
        return asked

    def _pin(self, asked: Asked, inst_types: Collection[str], kinds: Collection[str]) -> None:
        for name in self._pinned.keys() & set(inst_types):
            ec2, fee = self._pinned[name]
            if not (_is_price(ec2) and _is_price(fee)):
                raise _bad_pin(f"{_PIN}.{name}", f"{{ec2: {ec2}, fee: {fee}}}", "instance-hour")
            asked.rates[name] = Rate(name, asked.region, ec2, fee, _PINNED, _PINNED)
        for kind in self._pinned_storage.keys() & set(kinds):
            pin = self._pinned_storage[kind]
            if not all(value is None or _is_price(value) for value in pin):
                raise _bad_pin(f"{_PIN_EBS}.{kind}", str(pin), "month")
            gib, iops, throughput = pin
            asked.storage[kind] = StorageRate(kind, asked.region, gib, _PINNED, iops, throughput)

    def _take_rates(self, asked: Asked, given: Prices, wanted: Sequence[str]) -> None:
        for name in wanted:
            answers = asked.answers.setdefault(name, [])
            rate = given.rates.get(name)
            if rate is None:
                answers.append(_has_not(given))
                continue
            _check(
                f"the price of {name}",
                asked.region,
                given.source,
                (rate.inst_type, rate.region) == (name, asked.region),
                {"EC2": rate.ec2, "EMR fee": rate.fee},
                _how_to_pin([name], []),
            )
            if rate.fee_estimated and not self._allow_estimated:
                asked.estimated.add(name)
                answers.append(
                    f"{given.source} has EC2 at {rate.ec2:g}, and the EMR fee only {rate.fee_source} ({rate.fee:g})"
                )
            else:
                asked.rates[name] = rate


def _take_storage(asked: Asked, given: Prices, wanted: Sequence[str]) -> None:
    for kind in wanted:
        rate = given.storage.get(kind)
        if rate is None:
            asked.answers.setdefault(kind, []).append(_has_not(given))
            continue
        charges = {"a GiB": rate.gib_month, "an IOPS": rate.iops_month, "a MiB/s": rate.throughput_month}
        _check(
            f"the price of {kind} volumes",
            asked.region,
            given.source,
            (rate.kind, rate.region) == (kind, asked.region),
            {what: usd for what, usd in charges.items() if usd is not None},
            _how_to_pin([], [kind]),
        )
        asked.storage[kind] = rate


def _is_price(value: float) -> bool:
    return 0 < value < math.inf  # false for NaN too


def _has_not(given: Prices) -> str:
    return f"{given.source} does not have it" + (f" ({given.note})" if given.note else "")


def _check(what: str, region: str, source: str, same: bool, figures: Mapping[str, float], remedy: str) -> None:
    """Refuses what a source must never say; asking the next one would hide that this one is broken."""
    wrong = [] if same else ["answers another question"]
    wrong += [f"gives {name} as {value}" for name, value in figures.items() if not _is_price(value)]
    if wrong:
        raise OperatorError(
            f"{source}, asked for {what} in {region}, {' and '.join(wrong)}: that is no price.",
            Reason.PRICE,
            remedy=remedy,
            public=f"{what} is not usable",
            details={"region": region, "asked": [source]},
        )


def _bad_pin(path: str, value: str, unit: str) -> OperatorError:
    return OperatorError(
        f"{path} in servo.yaml is {value}: every price must be above 0.",
        Reason.PRICE,
        remedy=f"Give it in USD per {unit}.",
        public=f"{path} is no price",
    )


def _how_to_pin(inst_types: Sequence[str], kinds: Sequence[str]) -> str:
    pins = []
    if inst_types:
        keys = " and ".join(f"{_PIN}.{name}" for name in inst_types)
        pins.append(f"USD per instance-hour: {keys}: {{ec2: <price>, fee: <fee>}}")
    if kinds:
        keys = " and ".join(f"{_PIN_EBS}.{kind}" for kind in kinds)
        pins.append(f"USD per GiB and month: {keys}: {{gib_month: <price>}}")
    return f"Pin a price in servo.yaml, {'; '.join(pins)}."


def _unknown(asked: Asked, inst_types: Sequence[str], kinds: Sequence[str]) -> OperatorError:
    named = {**{name: name for name in inst_types}, **{kind: f"{kind} volumes" for kind in kinds}}
    answers = {label: asked.answers.get(name, []) for name, label in named.items()}
    alike: dict[str, list[str]] = {}
    for label, given in answers.items():
        alike.setdefault(", then ".join(given) or "there is no source to ask", []).append(label)
    # An answer that is the same for several stands once.
    said = "; ".join(f"{', '.join(labels)}: {answer}" for answer, labels in alike.items())
    allow = f" Or, where the fee is an estimate, allow it: {_ALLOW}: true." if asked.estimated else ""
    return OperatorError(
        f"No price for {', '.join(answers)} in {asked.region}. {said}.",
        Reason.PRICE,
        remedy=_how_to_pin(inst_types, kinds) + allow,
        public=f"no price for {', '.join(answers)}",
        details={"region": asked.region, "types": list(inst_types), "kinds": list(kinds), "answers": answers},
    )
