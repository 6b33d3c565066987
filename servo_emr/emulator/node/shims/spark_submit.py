"""The node's `spark-submit`, `pyspark`, `spark-sql`: Spark's own, its master and deploy mode made this machine's.

The cluster manager becomes `local[CORES]` and the deploy mode `client`, however they are given; every other option,
every other --conf and everything from the application on stays as it is.

Usage: spark_submit.py PROGRAM CORES [ARGUMENT ...]
"""

from __future__ import annotations

import os
import sys

# Of spark-submit's options these stand alone; each other one has its value in the next argument.
_ALONE = {"--help", "-h", "--supervise", "--usage-error", "--verbose", "-v", "--version"}
_REPLACED = {"--master", "--deploy-mode"}
_REPLACED_CONF = {"spark.master", "spark.submit.deployMode"}


def local(arguments: list[str], cores: int) -> list[str]:
    """The arguments for a Spark of this machine with `cores` task slots."""
    kept = ["--master", f"local[{cores}]", "--deploy-mode", "client"]
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        name, equals, value = option.partition("=")
        given = [option]
        if option not in _ALONE and not equals and rest:
            value = rest.pop(0)
            given.append(value)
        if name in _REPLACED or (name in ("--conf", "-c") and value.partition("=")[0] in _REPLACED_CONF):
            continue
        kept += given
    return kept + rest


def main() -> None:
    """Become Spark's own script."""
    program, cores, *arguments = sys.argv[1:]
    os.execv(program, [program, *local(arguments, int(cores))])


if __name__ == "__main__":
    main()
