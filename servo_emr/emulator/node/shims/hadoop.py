"""The node's `hadoop fs` and `hdfs dfs`: Hadoop's own file system shell, from the jars that come with Spark.

Usage: hadoop.py JAVA JARS fs|dfs [ARGUMENT ...]
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Become the shell; exit status 1 for any other subcommand: the rest of Hadoop is not on this node."""
    java, jars, *arguments = sys.argv[1:]
    if not arguments or arguments[0] not in ("fs", "dfs"):
        sys.exit("on this emulated node only `hadoop fs` and `hdfs dfs` exist of Hadoop's commands")
    classpath = f"{os.environ['SPARK_CONF_DIR']}:{jars}/*"
    options = ["-XX:-UsePerfData", f"-Djava.io.tmpdir={os.environ['TMPDIR']}"]
    os.execv(java, [java, *options, "-cp", classpath, "org.apache.hadoop.fs.FsShell", *arguments[1:]])


if __name__ == "__main__":
    main()
