"""The price book: which prices a bill or an estimate is made with, and why there is none where there is none.

Asks the sources in order, lets prices pinned in servo.yaml go first, and refuses what is no price. The arithmetic is
`bill`'s; where a source has its prices from is its own affair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.ports import Estimate, PriceSource, Rate
from servo_emr.domain.run import Cost, Usage
from servo_emr.domain.spec import RunSpec
from servo_emr.pricing.bill import Price, appraise, lives, total

__all__ = ["RateBook"]

_PIN = "emr.prices.overrides"
_ALLOW = "emr.prices.allow_estimated_fees"


class RateBook:
    """A PriceBook over price sources.

    Each estimate and each bill asks once for all the types it needs, so that one set of prices serves the whole of it.

    Args:
        sources: asked in this order; the first that has a type's price decides it.
        allow_estimated_fees: whether an EMR fee that is only an estimate will do; the basis then says so.
        overrides: type -> (EC2, EMR fee) in USD per instance-hour; no source is asked about these types.
    """

    def __init__(
        self,
        sources: Sequence[PriceSource],
        *,
        allow_estimated_fees: bool = False,
        overrides: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self._sources = tuple(sources)
        self._allow_estimated = allow_estimated_fees
        self._pinned = dict(overrides or {})

    async def estimate(self, spec: RunSpec, provisioning_s: float, job_s: float) -> Estimate:
        """What a run would cost before it is launched; seconds from launch to first step, and of the job.

        Raises:
            OperatorError: operator/price.
            ValueError: a time is negative or no number.
        """
        return appraise(spec, provisioning_s, job_s, await self._prices(spec.region, spec.inst_types))

    async def bill(self, usage: Usage, measured: Sequence[tuple[float, float]]) -> Cost:
        """What an ended run did cost; `measured` are the intervals of the measured steps, seconds since the epoch.

        Raises:
            OperatorError: operator/price, also for a row whose times make no sense.
        """
        found = lives(usage)
        return total(found, measured, await self._prices(usage.region, found.inst_types), usage.region)

    async def _prices(self, region: str, inst_types: Iterable[str]) -> dict[str, Price]:
        """A price for every type, or the error that says for each one without what every source answered."""
        missing = sorted(set(inst_types))
        prices = {name: self._override(name) for name in missing if name in self._pinned}
        missing = [name for name in missing if name not in prices]
        answers: dict[str, list[str]] = {name: [] for name in missing}
        estimated: set[str] = set()
        for source in self._sources:
            if not missing:
                break
            given = await source.prices(region, missing)
            for name in missing:
                rate = given.rates.get(name)
                if rate is None:
                    answers[name].append(f"{given.source} does not have it")
                    continue
                _check(rate, name, region, given.source)
                if rate.fee_estimated and not self._allow_estimated:
                    estimated.add(name)
                    answers[name].append(
                        f"{given.source} has EC2 at {rate.ec2:g}, and the EMR fee only {rate.fee_source} ({rate.fee:g})"
                    )
                else:
                    prices[name] = Price(rate.ec2, rate.fee, f"EC2 {rate.ec2_source}, EMR fee {rate.fee_source}")
            missing = [name for name in missing if name not in prices]
        if missing:
            raise _unknown(region, {name: answers[name] for name in missing}, estimated)
        return prices

    def _override(self, name: str) -> Price:
        ec2, fee = self._pinned[name]
        if not (_is_price(ec2) and _is_price(fee)):
            raise OperatorError(
                f"{_PIN}.{name} in servo.yaml is {{ec2: {ec2}, fee: {fee}}}: both must be above 0.",
                Reason.PRICE,
                remedy="Give both in USD per instance-hour.",
                public=f"the price pinned for {name} is not one",
            )
        return Price(ec2, fee, "EC2 and EMR fee pinned in servo.yaml")


def _is_price(value: float) -> bool:
    return 0 < value < math.inf  # false for NaN too


def _check(rate: Rate, name: str, region: str, source: str) -> None:
    """Refuses what a source must never say; asking the next one would hide that this one is broken."""
    wrong = []
    if (rate.inst_type, rate.region) != (name, region):
        wrong.append(f"answers with {rate.inst_type} in {rate.region}")
    wrong += [
        f"gives {what} as {value}" for what, value in (("EC2", rate.ec2), ("EMR fee", rate.fee)) if not _is_price(value)
    ]
    if wrong:
        raise OperatorError(
            f"{source}, asked for the price of {name} in {region}, {' and '.join(wrong)}: that is no price.",
            Reason.PRICE,
            remedy=_how_to_pin([name]),
            public=f"the price of {name} is not usable",
            details={"region": region, "types": [name], "asked": [source]},
        )


def _how_to_pin(names: Sequence[str]) -> str:
    keys = " and ".join(f"{_PIN}.{name}" for name in names)
    return f"Pin a price in servo.yaml, USD per instance-hour: {keys}: {{ec2: <price>, fee: <fee>}}."


def _unknown(region: str, answers: Mapping[str, Sequence[str]], estimated: set[str]) -> OperatorError:
    names = list(answers)
    said = "; ".join(f"{name}: {', then '.join(answers[name]) or 'there is no source to ask'}" for name in names)
    allow = f" Or, where the fee is an estimate, allow it: {_ALLOW}: true." if estimated else ""
    return OperatorError(
        f"No price for {', '.join(names)} in {region}. {said}.",
        Reason.PRICE,
        remedy=_how_to_pin(names) + allow,
        public=f"no price for {', '.join(names)}",
        details={"region": region, "types": names, "answers": {name: list(answers[name]) for name in names}},
    )
