"""Writes the optimizer's table of instance types from the package's price table: sizes only, no price.

    python tools/make_instance_table.py > servo_emr/optimizer/instance-types.csv

The optimizer imports nothing else of ours, so it has a table of its own; this program keeps the two equal, and a test
says so. Sizes do not depend on the region, and age far more slowly than prices.
"""

from __future__ import annotations

import sys

from servo_emr.pricing.table import COLUMNS, PACKAGED

HEADER = """\
# Sizes of EC2 instance types: what the optimizer knows of a node before it has tried one.
# Made by tools/make_instance_table.py from servo_emr/pricing/us-east-1.csv, whose rows come from data of
# ec2instances.info (MIT licence), snapshots of 2019-04-05 and 2023-08-30.
type,vcpus,memory_gib
"""


def restate(price_table: str) -> str:
    """The instance table for the text of a price table; exits with a message when that is none."""
    rows = [line for line in price_table.splitlines() if line and not line.startswith("#")]
    if not rows or rows[0] != COLUMNS:
        raise SystemExit(f"the price table must have the columns {COLUMNS}")
    return HEADER + "".join(",".join(row.split(",")[:3]) + "\n" for row in rows[1:])


if __name__ == "__main__":
    sys.stdout.write(restate(PACKAGED.read_text(encoding="utf-8")))
