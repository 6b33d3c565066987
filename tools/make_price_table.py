"""Writes the package's price table: figures of a source CSV, restated in our own format with source and date.

    python tools/make_price_table.py --data prices_us-east-1.csv --region us-east-1 \\
        --ec2 'list price of 2023-08-30' --fee 'list of 2019-04-05' \\
        --ebs 'list price as third parties quote it, 2024 and 2025' \\
        --volume gp2=0.10 --volume gp3=0.08 --volume gp3.iops=0.005 --volume gp3.throughput=0.040 \\
        --volume io1=0.125 --volume io1.iops=0.065 --volume st1=0.045 --volume sc1=0.015 --volume standard=0.05 \\
        > servo_emr/pricing/us-east-1.csv

The source has a column each for type, vCPUs, memory in GiB, EC2 on demand, EMR fee (USD per hour) and where the fee is
from. A fee that the source only estimates is left empty: the table holds published figures, and the reader of the table
has the rule for the others. The source knows nothing of EBS: its prices, per month, come from the command line.
Knows the two formats and nothing else of servo_emr.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from servo_emr.domain.money import ESTIMATED_FEE_SHARE
from servo_emr.pricing.table import COLUMNS, parse

HEADER = """\
# List prices in USD per instance-hour, Linux, shared tenancy, on demand. An empty fee: no published list has it.
# Made by tools/make_price_table.py from data of ec2instances.info (MIT licence); docs/cost.md says more.
# region: {region}
# currency: USD
# ec2: {ec2}
# fee: {fee}
# ebs: {ebs}
"""
ESTIMATE, PUBLISHED = "estimate-25pct-of-od", re.compile(r"list-[0-9]{4}-[0-9]{2}-[0-9]{2}")


def main() -> None:
    """Read the source, check it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the source CSV")
    parser.add_argument("--region", required=True, help="the region that all of its rows are of")
    parser.add_argument("--ec2", required=True, help="what the EC2 prices are, with their date")
    parser.add_argument("--fee", required=True, help="what the EMR fees are, with their date")
    parser.add_argument("--ebs", required=True, help="what the EBS prices are, with their date")
    parser.add_argument(
        "--volume", action="append", default=[], metavar="KIND[.iops|.throughput]=USD", help="per month"
    )
    wanted = parser.parse_args()
    with wanted.data.open(newline="", encoding="utf-8") as source:
        text = restate(csv.DictReader(source), wanted.region, wanted.ec2, wanted.fee, wanted.ebs, wanted.volume)
    sys.stdout.write(text)


def restate(
    rows: Iterable[Mapping[str, str]], region: str, ec2: str, fee: str, ebs: str, volumes: Sequence[str]
) -> str:
    """The table's text; exits with a message when the source is not what it says it is."""
    types = sorted(figures(rows), key=lambda item: (item[0].partition(".")[0], int(item[1]), float(item[3]), item[0]))
    lines = [*map(charge, volumes), COLUMNS, *(",".join(item) for item in types), ""]
    text = HEADER.format(region=region, ec2=ec2, fee=fee, ebs=ebs) + "\n".join(lines)
    parse(text)  # whoever cannot be read back is not written
    return text


def figures(rows: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, str, str, str, str]]:
    """(type, vcpus, memory, ec2, fee) as the table has them."""
    for row in rows:
        name, basis = row["instance_type"], row["emr_source"]
        price, fee = float(row["ec2_ondemand_usd_hr"]), float(row["emr_usd_hr"])
        if not (0 < price < math.inf and 0 < fee < math.inf):
            raise SystemExit(f"{name}: {price} and {fee} are not prices")
        if basis == ESTIMATE and abs(fee - price * ESTIMATED_FEE_SHARE) > 1e-5:
            raise SystemExit(f"{name}: {fee} is not {ESTIMATED_FEE_SHARE:.0%} of {price}")
        if basis != ESTIMATE and not PUBLISHED.fullmatch(basis):
            raise SystemExit(f"{name}: {basis!r} is not known as the source of a fee")
        published = "" if basis == ESTIMATE else digits(fee)
        yield name, str(int(row["vcpu"])), digits(float(row["memory_gib"])), digits(price), published


def charge(text: str) -> str:
    """The table's line for KIND=USD, the price with the decimals that it was given."""
    name, _, usd = text.partition("=")
    try:
        price = float(usd)
    except ValueError:
        price = math.nan
    if not (name and 0 < price < math.inf):
        raise SystemExit(f"{text!r} is not KIND=USD with a price")
    return f"# ebs.{name}: {usd}"


def digits(value: float) -> str:
    """All of a number's decimals, and none that it does not have."""
    return repr(value).removesuffix(".0")


if __name__ == "__main__":
    main()
