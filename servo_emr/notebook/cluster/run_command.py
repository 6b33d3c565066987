"""Runs one command on the cluster, within its time limit, and always says in result.json what became of it.

    run_command.py JOB           JOB: the s3:// URI or the path of a job.json

Copied to the cluster with the other servo_emr_*.py files: Python 3.7 to 3.12, the standard library and boto3, nothing
of servo_emr. No shell sees the command. What it prints on standard output goes on to this process's own, and the end
of it to output.txt beside result.json; standard error is this process's own.

job.json: `command` is a list of words. `fetch`: the s3:// URI of a script that the first word stands for; it is run by
what its first line names, else by bash. `fills`: a prefix under which there must be something afterwards.

Exit status: 0 only after result.json says "succeeded"; 1 failed or error; 2 no usable job.json; 3 result.json could
not be written; 4 left out, because the step before did not succeed; 124 time limit; 128 + n stopped by signal n.
"""

from __future__ import annotations

import os
import platform
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any

sys.path.append(sys.prefix)  # the other files are beside the environment
from servo_emr_job import SCHEMA, Message, Store, run_job, utc_now  # type: ignore[import-not-found]
from servo_emr_processes import MARK, adopt_orphans, kill_all, say  # type: ignore[import-not-found]

FIELDS = ("run_id", "result", "output", "command", "timeout_s")
KEPT = 1024 * 1024  # bytes of what it prints on standard output that are kept: the last ones
PIECE = 64 * 1024


class Tail:
    """The end of a stream of bytes."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def add(self, piece: bytes) -> None:
        with self._lock:
            self._pieces.append(piece)
            self._size += len(piece)
            while self._size - len(self._pieces[0]) >= KEPT:
                self._size -= len(self._pieces.popleft())

    def bytes(self) -> bytes:
        with self._lock:
            return b"".join(self._pieces)[-KEPT:]


def words(job: Message, store: Store) -> list[str]:
    """The command, a script in it fetched."""
    command = [str(word) for word in job["command"]]
    if not job.get("fetch"):
        return command
    name = job["fetch"].rstrip("/").rpartition("/")[2] or "script"
    script = Path(tempfile.mkdtemp(prefix="servo-emr-")) / name
    body = store.read(job["fetch"])
    script.write_bytes(body)
    script.chmod(0o755)
    runs_itself = body.startswith((b"#!", b"\x7fELF"))
    return [*([] if runs_itself else ["bash"]), str(script), *command[1:]]


class Supervisor:
    """One command. It ends once: by the main thread when the command is done, by the watchdog when it must stop."""

    def __init__(self, job: Message, store: Store, wake: int) -> None:
        self.job, self.store, self.wake = job, store, wake
        self.mark = uuid.uuid4().hex
        self.started_at, self.deadline = utc_now(), time.monotonic() + job["timeout_s"]
        self.tail = Tail()
        self.ending = threading.Lock()

    def run(self) -> int:
        """Runs the command; the exit status."""
        adopt_orphans()
        threading.Thread(target=self.watch, daemon=True).start()
        found = self.outcome()
        if not self.ending.acquire(blocking=False):
            threading.Event().wait()  # the watchdog is ending the run, and with it this process
        return self.end(found, 0 if found["status"] == "succeeded" else 1)

    def outcome(self) -> Message:
        try:
            status = self.status(words(self.job, self.store))
            if status == 0 and self.job.get("fills") and not self.store.holds_something(self.job["fills"]):
                return told("error", "NothingRestored", "nothing was there to be restored")
        except Exception as error:  # noqa: BLE001  # whatever it is, result.json has to say it
            return told("error", type(error).__name__, str(error))
        if status == 0:
            return told("succeeded", exit_status=0)
        how = f"exit status {status}" if status > 0 else f"signal {-status}"
        return told("failed", "ExitStatus", how, status)

    def status(self, command: list[str]) -> int:
        """Runs it to its end; its exit status, -n for signal n."""
        say("runs " + " ".join(command))
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=dict(os.environ, **{MARK: self.mark}),
            start_new_session=True,
        )
        assert child.stdout is not None
        reader = threading.Thread(target=self.pass_on, args=(child.stdout,), daemon=True)
        reader.start()
        status = child.wait()
        reader.join(10)  # what it has left running may hold the stream open: that is ended with it
        return status

    def pass_on(self, stream: Any) -> None:
        heard = True
        while True:
            piece: bytes = os.read(stream.fileno(), PIECE)
            if not piece:
                return
            self.tail.add(piece)
            try:
                while heard and piece:
                    piece = piece[os.write(1, piece) :]
            except OSError as error:  # a full disk: the command must not wait for ever for somebody who reads it
                say(f"what it prints goes to output.txt alone from here on: {error}")
                heard = False

    def watch(self) -> None:
        """Ends the run at its time limit or at a signal, whichever comes first."""
        if select.select([self.wake], [], [], max(0.0, self.deadline - time.monotonic()))[0]:
            number = os.read(self.wake, 1)[0]
            found = told("terminated", "Terminated", f"stopped by {signal.Signals(number).name}")
            code = 128 + number
        else:
            found = told("timeout", "TimeLimit", f"the time limit of {self.job['timeout_s']:g} s has passed")
            code = 124
        if self.ending.acquire(blocking=False):
            code = self.end(found, code)
            sys.stdout.flush()
            os._exit(code)

    def end(self, found: Message, code: int) -> int:
        """What it printed and result.json first, then an end to whatever still runs. The exit status."""
        result = dict(found, schema=SCHEMA, run_id=self.job["run_id"], timeout_s=self.job["timeout_s"])
        result.update(started_at=self.started_at, ended_at=utc_now(), python=platform.python_version())
        try:
            self.store.put(self.job["output"], self.tail.bytes())
            self.store.write(self.job["result"], result)
        except Exception as error:  # noqa: BLE001  # the exit status tells it, and the processes must go all the same
            say(f"cannot write {self.job['result']}: {error}")
            code = code if code >= 124 else 3
        kill_all(f"{MARK}={self.mark}".encode("ascii"))
        say(" ".join([found["status"], found["ename"], found["evalue"]]).strip())
        return code


def told(status: str, ename: str = "", evalue: str = "", exit_status: Any = None) -> Message:
    """An outcome in the form of result.json."""
    return {
        "status": status,
        "cell_index": None,
        "ename": ename[:200],
        "evalue": evalue[:4000],
        "traceback": "",
        "kernel_died": False,
        "exit_status": exit_status,
    }


if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1:], "run_command.py", FIELDS, Supervisor))
