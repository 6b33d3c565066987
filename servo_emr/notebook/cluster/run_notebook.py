"""Runs one notebook on the cluster, within its time limit, and always says in result.json what became of it.

    run_notebook.py JOB          JOB: the s3:// URI or the path of a job.json

Copied to the cluster with the other servo_emr_*.py files: Python 3.7 to 3.12, the standard library and papermill's S3
client, nothing of servo_emr. Under spark-submit the notebook's kernel inherits the gateway to
Spark's driver; under plain python it starts what it needs itself.

This process is the supervisor: it reads job.json, heeds the time and the signals, writes progress.json and
result.json, and kills what is left. Papermill runs in a child with a session of its own, because it changes folder,
leaks, and dies with what it runs; the two talk over pipes.

Exit status: 0 only after result.json says "succeeded"; 1 failed or error; 2 no usable job.json; 3 result.json could
not be written; 4 left out, because the step before did not succeed; 124 time limit; 128 + n stopped by signal n.
"""

from __future__ import annotations

import json
import os
import platform
import select
import signal
import subprocess
import sys
import threading
import time
import uuid

sys.path.append(sys.prefix)  # spark-submit fetches this file alone: the others are beside the environment
import servo_emr_child  # type: ignore[import-not-found]
from servo_emr_job import SCHEMA, Message, Store, run_job, utc_now  # type: ignore[import-not-found]
from servo_emr_processes import MARK, adopt_orphans, kill_all, say  # type: ignore[import-not-found]

FIELDS = ("run_id", "input", "output", "result", "progress", "parameters", "kernel", "timeout_s")
PROGRESS_EVERY_S = 10.0


class Supervisor:
    """One run. It ends once: by the main thread when papermill is done, by the watchdog when it must stop."""

    def __init__(self, job: Message, store: Store, wake: int) -> None:
        self.job, self.store, self.wake = job, store, wake
        self.mark = uuid.uuid4().hex
        self.started_at, self.deadline = utc_now(), time.monotonic() + job["timeout_s"]
        # Under spark-submit our parent is Spark's JVM; if it goes, that is the cause of whatever follows.
        self.jvm = os.getppid() if "PYSPARK_GATEWAY_PORT" in os.environ else None
        self.papermill: str | None = None
        self.cells: int | None = None
        self.cell_index: int | None = None
        self.cell = 0
        self.news, self.over = threading.Event(), threading.Event()
        self.ending, self.writing = threading.Lock(), threading.Lock()

    def run(self) -> int:
        """Runs the notebook; the exit status."""
        adopt_orphans()
        lifeline, self.lifeline_end = os.pipe()  # the other end stays open as long as this process lives
        report, report_end = os.pipe()
        child = subprocess.Popen(
            [sys.executable, servo_emr_child.__file__, str(report_end), str(lifeline)],
            stdin=subprocess.PIPE,
            pass_fds=(report_end, lifeline),
            env=dict(os.environ, **{MARK: self.mark}),
            start_new_session=True,
        )
        os.close(report_end)
        os.close(lifeline)
        threading.Thread(target=self.watch, daemon=True).start()
        threading.Thread(target=self.keep_progress, daemon=True).start()
        found = self.follow(child, report)
        if not self.ending.acquire(blocking=False):
            threading.Event().wait()  # the watchdog is ending the run, and with it this process
        return self.end(found, 0 if found["status"] == "succeeded" else 1)

    def follow(self, child: subprocess.Popen[bytes], report: int) -> Message:
        """Hears the child out; its outcome."""
        assert child.stdin is not None
        try:
            with child.stdin as stdin:
                stdin.write(json.dumps(self.job).encode("ascii"))
        except BrokenPipeError:
            say("papermill's process ended before it had its job")
        with os.fdopen(report, "rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # it died in the middle of a word
                message: Message = json.loads(line.decode("ascii"))
                if "status" in message:
                    return message
                self.hear(message)
        code = child.wait()
        how = f"ended with status {code}" if code >= 0 else f"was ended by signal {-code}"
        lost: Message = servo_emr_child.outcome(
            "error", "PapermillDied", f"papermill's process {how}", cell_index=self.cell_index
        )
        return lost

    def hear(self, message: Message) -> None:
        self.cells = message.get("cells", self.cells)
        self.papermill = message.get("papermill", self.papermill)
        if "cell_index" in message:
            self.cell_index = message["cell_index"]
            self.cell = self.cell if self.cell_index is None else self.cell_index + 1
        self.news.set()

    def watch(self) -> None:
        """Ends the run at its time limit or at a signal, whichever comes first."""
        if select.select([self.wake], [], [], max(0.0, self.deadline - time.monotonic()))[0]:
            number = os.read(self.wake, 1)[0]
            why = f"stopped by {signal.Signals(number).name}"
            found, code = (
                servo_emr_child.outcome("terminated", "Terminated", why, cell_index=self.cell_index),
                128 + number,
            )
        else:
            why = f"the time limit of {self.job['timeout_s']:g} s has passed"
            found, code = servo_emr_child.outcome("timeout", "TimeLimit", why, cell_index=self.cell_index), 124
        if self.ending.acquire(blocking=False):
            code = self.end(found, code)
            sys.stdout.flush()
            os._exit(code)

    def end(self, found: Message, code: int) -> int:
        """result.json first: once the kernel is dead, papermill reports that instead of the cause. The exit status."""
        if found["status"] == "succeeded" and self.cells is not None:
            self.cell = self.cells
        result = dict(found, schema=SCHEMA, run_id=self.job["run_id"], cells=self.cells, papermill=self.papermill)
        result.update(started_at=self.started_at, ended_at=utc_now(), timeout_s=self.job["timeout_s"])
        result.update(python=platform.python_version(), jvm_lost=self.jvm is not None and os.getppid() != self.jvm)
        try:
            self.store.write(self.job["result"], result)
        except Exception as error:  # noqa: BLE001  # the exit status tells it, and the processes must go all the same
            say(f"cannot write {self.job['result']}: {error}")
            code = code if code >= 124 else 3
        kill_all(f"{MARK}={self.mark}".encode("ascii"))
        self.over.set()
        self.write_progress()
        say(" ".join([found["status"], found["ename"], found["evalue"]]).strip())
        return code

    def keep_progress(self) -> None:
        while True:
            self.news.wait()
            self.news.clear()
            self.write_progress()
            if self.over.wait(PROGRESS_EVERY_S):
                return

    def write_progress(self) -> None:
        """progress.json; a failure is told and costs the run nothing, since progress is a courtesy."""
        if not self.writing.acquire(timeout=10):
            say("progress.json is left as it is: an earlier write has not come back")
            return
        try:
            document = {"schema": SCHEMA, "run_id": self.job["run_id"], "cell": self.cell, "cells": self.cells}
            self.store.write(self.job["progress"], dict(document, at=utc_now()))
        except Exception as error:  # noqa: BLE001  # a courtesy, as said above
            say(f"cannot write {self.job['progress']}: {error}")
        finally:
            self.writing.release()


if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1:], "run_notebook.py", FIELDS, Supervisor))
