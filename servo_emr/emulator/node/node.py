"""The primary node of one emulated cluster: a folder with everything in it, and processes that see nothing else.

A step or a bootstrap action runs here as on a node: its commands are found on a PATH of shims, its home, its temporary
and its working folder lie in the cluster's scratch folder, and its environment begins empty. How long anything takes,
which cluster is in which state, and what an exit status means, is not known here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from servo_emr.emulator.node.overlay import make_overlay
from servo_emr.emulator.node.process import Process, kill_all, start
from servo_emr.emulator.node.shims import PROGRAMS, write_shims
from servo_emr.emulator.node.shims.script import localise
from servo_emr.emulator.node.spark import SparkHome, find_spark, write_configuration
from servo_emr.emulator.protocol.naming import NODE_CALLER

__all__ = ["PASSED_ON", "Node", "Process", "sweep"]

# pip's settings, and nothing else, reach the node from the emulator's own environment: where packages come from is a
# matter of the machine. PIP_NO_INDEX=1 closes the index.
PASSED_ON = (
    "PIP_CACHE_DIR",
    "PIP_CERT",
    "PIP_CONFIG_FILE",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_PROXY",
    "PIP_TRUSTED_HOST",
    "SSL_CERT_FILE",
)

_COMMAND_FOLDERS = ("/usr/bin", "/usr/local/bin", "/usr/lib/spark/bin")

# Two marks on every process of a node. The folder tells apart the nodes of two emulators that hand out the same ids.
_NODE_MARK = "SERVO_EMR_NODE"
_PROCESS_MARK = "SERVO_EMR_NODE_PROCESS"

_SAFE_PATH = re.compile(r"/[\w./+@-]+")
_SAFE_MARK = re.compile(r"\w[\w.-]*")


class Node:
    """The primary node of one emulated cluster: a scratch folder, a PATH of shims, real processes.

    Any thread may call any method. The processes belong to the node: `destroy` ends every one.
    """

    def __init__(
        self,
        *,
        cluster_id: str,
        root: Path,
        endpoint: str,
        region: str,
        cores: int,
        buckets: Callable[[], Sequence[str]],
    ) -> None:
        """Make the scratch folder `root`, which must not exist yet.

        `endpoint` is the emulator's own http://127.0.0.1:N, `cores` the task slots of its Spark; `buckets` gives the
        names of the buckets that there are, and is asked at each start. Raises ValueError for a path that scripts could
        not hold unquoted, and RuntimeError on a system without /proc.
        """
        root = root.absolute()
        if not _SAFE_PATH.fullmatch(str(root)):
            raise ValueError(
                f"the scratch folder {str(root)!r} would break scripts that do not quote paths: choose one of letters, "
                "digits and ./+@_- only (TMPDIR decides where temporary folders are made)"
            )
        if not Path("/proc/self/environ").exists():
            raise RuntimeError("the emulated node needs Linux: it finds its processes in /proc")
        self._root, self._endpoint, self._cores, self._buckets = root, endpoint, cores, buckets
        self._home, self._temporary, self._spark_conf = root / "home", root / "tmp", root / "spark-conf"
        self._folders = {"/home/hadoop": str(self._home), "/mnt/var/lib/info": str(root / "info")}
        self._lock = threading.Lock()
        self._processes: list[Process] = []
        self._destroyed = False
        spark = find_spark()
        self._build(cluster_id, spark)
        self._environment = self._make_environment(region, spark)

    def _build(self, cluster_id: str, spark: SparkHome | None) -> None:
        self._root.mkdir(parents=True)
        for folder in (self._home, self._temporary, self._spark_conf, self._root / "work", self._root / "info"):
            folder.mkdir()
        python = make_overlay(self._root / "python")
        awscli = importlib.util.find_spec("awscli") is not None
        shims = self._root / "shims"
        names = write_shims(shims, python=python, cores=self._cores, spark=spark, awscli=awscli)
        # Scripts call these by the paths that they have on a real node, where this machine has its own.
        self._folders |= {f"{folder}/{name}": str(shims / name) for name in names for folder in _COMMAND_FOLDERS}
        # What scripts read on a real node to learn where they are: bootstrap actions run on every node.
        (self._root / "info" / "instance.json").write_text(json.dumps({"isMaster": True}) + "\n", encoding="utf-8")
        (self._root / "info" / "job-flow.json").write_text(
            json.dumps({"jobFlowId": cluster_id}) + "\n", encoding="utf-8"
        )

    def _make_environment(self, region: str, spark: SparkHome | None) -> Mapping[str, str]:
        environment = {
            "PATH": f"{self._root / 'shims'}:{self._root / 'python' / 'bin'}:/usr/bin:/bin",
            "HOME": str(self._home),
            "TMPDIR": str(self._temporary),
            "USER": "hadoop",
            "LOGNAME": "hadoop",
            "HADOOP_USER_NAME": "hadoop",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            # A real node's come from its instance profile by the metadata service; there is none here.
            "AWS_ACCESS_KEY_ID": NODE_CALLER,
            "AWS_SECRET_ACCESS_KEY": NODE_CALLER,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
        }
        if spark is not None:
            environment |= {
                "SPARK_HOME": str(spark.home),
                "SPARK_CONF_DIR": str(self._spark_conf),
                "SPARK_LOCAL_IP": "127.0.0.1",
                "SPARK_LAUNCHER_OPTS": f"-XX:-UsePerfData -Djava.io.tmpdir={self._temporary}",
                "JAVA_HOME": str(spark.java),
            }
        return environment | {name: os.environ[name] for name in PASSED_ON if name in os.environ}

    def start(self, argv: Sequence[str], *, mark: str, stdout: Path, stderr: Path) -> Process:
        """Start a step's command, without a shell, in a working folder of its own.

        A path that begins with /home/hadoop or /mnt/var/lib/info, anywhere in an argument, means the node's, and so
        does a shim's name in a folder of commands. `mark` is unique on this node. Raises RuntimeError after `destroy`.
        A command that does not exist ends with status 127.
        """
        return self._start([localise(item, self._folders) for item in argv], mark, stdout, stderr)

    def start_script(self, uri: str, args: Sequence[str], *, mark: str, stdout: Path, stderr: Path) -> Process:
        """Start a script from s3://bucket/key or a path, as bootstrap actions and script-runner.jar do.

        Bash runs it, or what its first line says.

        The process itself fetches it, so one that cannot be had ends with status 1 and the reason in `stderr`.
        """
        program = [sys.executable, "-I", str(PROGRAMS / "script.py"), json.dumps(self._folders)]
        arguments = [localise(item, self._folders) for item in (uri, *args)]
        return self._start([*program, *arguments], mark, stdout, stderr)

    def _start(self, argv: Sequence[str], mark: str, stdout: Path, stderr: Path) -> Process:
        if not _SAFE_MARK.fullmatch(mark):
            raise ValueError(f"{mark!r} cannot mark a process: letters, digits, '_', '.' and '-' only")
        buckets = self._buckets()
        with self._lock:
            if self._destroyed:
                raise RuntimeError(f"the node in {self._root} has been destroyed")
            write_configuration(
                self._spark_conf,
                cores=self._cores,
                endpoint=self._endpoint,
                buckets=buckets,
                temporary=self._temporary,
            )
            folder = self._root / "work" / mark
            folder.mkdir()
            process = start(
                argv,
                environment=self._environment,
                folder=folder,
                stdout=stdout,
                stderr=stderr,
                marks={_NODE_MARK: str(self._root), _PROCESS_MARK: mark},
            )
            self._processes.append(process)
        return process

    def destroy(self) -> None:
        """Kill every process of the node and remove its folder; may be repeated.

        Raises ProcessesRemain, or OSError when the folder cannot be removed; it can then be called again.
        """
        with self._lock:
            self._destroyed = True
            processes = list(self._processes)
        sweep(self._root, processes)


def sweep(root: Path, processes: Sequence[Process] = ()) -> None:
    """End every process of the node in that folder, beside those given, and remove the folder.

    Raises ProcessesRemain, or OSError when the folder cannot be removed.
    """
    kill_all({_NODE_MARK: str(root)}, processes)
    _remove(root)


def _remove(folder: Path) -> None:
    """Remove the folder, also while a last file of a dying process appears in it, and with read-only folders in it."""
    for attempt in range(50):
        if not folder.exists():
            return
        try:
            shutil.rmtree(folder)
        except OSError:
            if attempt == 49:
                raise
            for path, names, _ in os.walk(folder):
                for child in (Path(path, name) for name in names):
                    if not child.is_symlink():  # what a link points to is not ours
                        child.chmod(0o700)
            time.sleep(0.02)
