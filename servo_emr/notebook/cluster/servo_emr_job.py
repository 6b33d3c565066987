"""What the runners have in common: objects in S3, job.json, signals, who went before. Python 3.7 to 3.12.

Copied to the cluster with run_notebook.py and run_command.py. The standard library and boto3, nothing of servo_emr.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Sequence

from servo_emr_processes import say  # type: ignore[import-not-found]

SCHEMA = 1
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Message = Dict[str, Any]


class JobUnusable(Exception):
    """job.json cannot be read or lacks something, so that there is no place for a result either."""


def utc_now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Store:
    """Reads and writes whole objects, by s3:// URI or local path."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: Any = None

    def _s3(self) -> Any:
        with self._lock:
            if self._client is None:
                import boto3
                from botocore.config import Config

                # Bounded, because at the time limit the kernel lives on until result.json is written.
                retries: Any = {"mode": "standard", "max_attempts": 4}
                self._client = boto3.client("s3", config=Config(connect_timeout=5, read_timeout=15, retries=retries))
            return self._client

    def read(self, uri: str) -> bytes:
        if uri.startswith("s3://"):
            bucket, _, key = uri[5:].partition("/")
            body: bytes = self._s3().get_object(Bucket=bucket, Key=key)["Body"].read()
            return body
        return Path(uri).read_bytes()

    def holds_something(self, prefix: str) -> bool:
        """Whether there is an object below an s3:// prefix."""
        bucket, _, key = prefix[5:].partition("/")
        return bool(self._s3().list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("KeyCount"))

    def write(self, uri: str, document: Message) -> None:
        self.put(uri, json.dumps(document).encode("ascii"), "application/json")

    def put(self, uri: str, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        if uri.startswith("s3://"):
            bucket, _, key = uri[5:].partition("/")
            self._s3().put_object(Bucket=bucket, Key=key, Body=body, ContentType=kind)
            return
        part = Path(uri + ".part")
        part.write_bytes(body)
        part.replace(uri)


def load_job(store: Store, uri: str, fields: Sequence[str]) -> Message:
    """The checked job.json."""
    try:
        job = json.loads(store.read(uri).decode("utf-8"))
    except Exception as error:
        raise JobUnusable(f"cannot read the job {uri}: {error}") from error
    if not isinstance(job, dict) or job.get("schema") != SCHEMA:
        raise JobUnusable(f"{uri} is not a job of schema {SCHEMA}")
    missing = [name for name in fields if name not in job]
    if missing:
        raise JobUnusable(f"{uri} lacks {', '.join(missing)}")
    limit = job["timeout_s"]
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit < threading.TIMEOUT_MAX:
        raise JobUnusable(f"{uri}: timeout_s is {limit!r}, it must be a number of seconds above 0")
    return job


def not_before(job: Message, store: Store) -> str:
    """Why this step must not run: the one before it has not left word of its success. Empty when it may.

    With a clean-up stage EMR goes on after a failed step, and it is here that the rest of the job is left out.
    """
    before = job.get("after")
    if not before:
        return ""
    try:
        result = json.loads(store.read(before).decode("utf-8"))
        succeeded = result.get("run_id") == job["run_id"] and result.get("status") == "succeeded"
    except Exception as error:  # noqa: BLE001  # whatever keeps it from being read, there is no word of success
        return f"there is no word that the step before has succeeded ({type(error).__name__}: {error})"
    return "" if succeeded else "the step before it did not succeed"


def listen_for_signals() -> int:
    """From here on a signal to stop is a byte in the pipe that is returned, whatever the main thread is doing."""
    wake, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    return wake


def run_job(arguments: Sequence[str], program: str, fields: Sequence[str], supervisor: Callable[..., Any]) -> int:
    """The exit status for a command line of one word, the URI or path of a job.json with these `fields`.

    It is run by `supervisor(job, store, wake).run()`, unless it cannot be read or the step before did not succeed.
    """
    if len(arguments) != 1:
        say(f"usage: {program} JOB (the s3:// URI or path of a job.json)")
        return 2
    wake, store = listen_for_signals(), Store()
    try:
        job = load_job(store, arguments[0], fields)
    except JobUnusable as error:
        say(error)
        return 2
    why = not_before(job, store)
    if why:
        say("left out: " + why)
        return 4
    status: int = supervisor(job, store, wake).run()
    return status
