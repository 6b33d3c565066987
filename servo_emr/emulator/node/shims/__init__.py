"""The commands of the emulated node that are not this machine's own: small scripts which exec something real.

Here they are written out. The programs beside this file are what the longer ones run: each stands alone on the standard
library (one on boto3 too), is started by its path, and knows its arguments and environment, nothing of the emulator.
A shim is a script and not a link, because Python and Java find their home by the path of what was started.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from servo_emr.emulator.node.spark import SparkHome

__all__ = ["PROGRAMS", "write_shims"]

PROGRAMS = Path(__file__).parent

# What changes the machine below the node. Refused and not ignored: a bootstrap action would go on without
# the package that it needs, and with sudo gone these would act on the machine that runs the emulator.
_REFUSED = ("amazon-linux-extras", "dnf", "rpm", "service", "systemctl", "yum")


def write_shims(folder: Path, *, python: Path, cores: int, spark: SparkHome | None, awscli: bool) -> Sequence[str]:
    """Write the shims into `folder`, which is made, and give their names; `python` is the node's own interpreter."""
    folder.mkdir(parents=True)
    minor = f"3.{sys.version_info.minor}"
    by_name: dict[str, Sequence[str]] = {"sudo": _program("sudo.py")}
    for name in ("python", "python3", f"python{minor}"):
        by_name[name] = _program("python.py", str(python), str(PROGRAMS / "environment.py"))
    for name in ("pip", "pip3", f"pip{minor}"):
        by_name[name] = [str(python), "-m", "pip"]
    if awscli:
        by_name["aws"] = [sys.executable, "-I", "-m", "awscli"]
    if spark is not None:
        by_name |= _spark_commands(spark, cores)
    for name, command in by_name.items():
        _write(folder / name, f'exec {shlex.join(command)} "$@"')
    missing = _missing(spark=spark is not None, awscli=awscli)
    for name, message in missing.items():
        _write(folder / name, f"echo {shlex.quote(message)} >&2\nexit 1")
    return [*by_name, *missing]


def _program(name: str, *arguments: str) -> list[str]:
    # Isolated and without site-packages: nothing on the node can break a shim, and it starts in 10 ms.
    return [sys.executable, "-I", "-S", str(PROGRAMS / name), *arguments]


def _spark_commands(spark: SparkHome, cores: int) -> dict[str, Sequence[str]]:
    java = str(spark.java / "bin" / "java")
    hadoop = _program("hadoop.py", java, str(spark.home / "jars"))
    return {
        **{
            name: _program("spark_submit.py", str(spark.home / "bin" / name), str(cores))
            for name in ("spark-submit", "pyspark", "spark-sql")
        },
        "java": [java],
        "hadoop": hadoop,
        "hdfs": hadoop,
    }


def _missing(*, spark: bool, awscli: bool) -> Mapping[str, str]:
    messages = {
        name: f"{name}: refused on this emulated node: it would change the machine that runs the emulator. "
        "Install what the job needs with pip, or put it into the image that the emulator runs in."
        for name in _REFUSED
    }
    if not spark:
        messages |= {
            name: f"{name}: Spark is not installed beside the emulator: pip install 'servo-emr[spark]'"
            for name in ("spark-submit", "pyspark", "spark-sql", "hadoop", "hdfs")
        }
    if not awscli:
        messages["aws"] = "aws: the AWS CLI is not installed beside the emulator: pip install 'servo-emr[emulator]'"
    return messages


def _write(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
