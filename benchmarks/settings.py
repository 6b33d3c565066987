"""`settings.apply` with 40 settings: what it takes to make the run that an adjustment asks for.

    python benchmarks/settings.py [--rounds 200]

The time of one `apply` in milliseconds of CPU, and its ratio to one parse of the same configuration, in one run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

from servo_emr.config import EMRConfiguration
from servo_emr.description import components

MOST_MS = 50.0
NODES = {
    "primary": {"inst_type": {"values": ["m5.xlarge"], "value": "m5.xlarge", "pinned": True}},
    "core": {
        "inst_type": {"values": ["m5.xlarge", "c5.xlarge"], "value": "m5.xlarge"},
        "replicas": {"min": 1, "max": 12, "value": 4},
    },
}
PROPERTIES = {
    f"p{n}": {"min": 1, "max": 9, "value": 5, "target": f"configurations.spark-defaults[spark.acme.p{n}]"}
    for n in range(24)
}
PARAMETERS = {f"a{n}": {"values": [1, 2, 3], "value": 2, "target": f"job.parameters.a{n}"} for n in range(13)}


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """The median CPU time of a piece of work."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        taken.append((time.process_time() - began) * 1000)
    return statistics.median(taken)


def main() -> int:
    """Prints the medians; 1 when applying takes longer than the bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    section = {
        "region": "us-east-1",
        "workspace": "s3://acme-servo/nightly",
        "job": {"notebook": "etl.ipynb"},
        "cluster": {"release_label": "emr-7.1.0"},
        "components": {**NODES, "spark": PROPERTIES, "job": PARAMETERS},
    }
    config = EMRConfiguration.parse_obj(section)
    space, base = config.space, config.to_spec()
    values = space.configured
    applied = milliseconds(lambda: space.apply(base, values), rounds)
    described = milliseconds(lambda: components(space, values), max(5, rounds // 10))
    parsed = milliseconds(lambda: EMRConfiguration.parse_obj(section), max(5, rounds // 20))
    print(f"settings: {len(space.settings)}")
    print(f"apply:    median {applied:.2f} ms of CPU over {rounds} rounds (at most {MOST_MS:g})")
    print(f"describe: median {described:.2f} ms of CPU")
    print(f"parse:    median {parsed:.2f} ms of CPU; apply is {applied / parsed:.2f} of it")
    return 0 if applied <= MOST_MS else 1


if __name__ == "__main__":
    sys.exit(main())
