"""The bundled optimizer as tests use it: a process that can be killed, a relay before it, and clusters that only count.

The clusters' steps take the times of a table and run nothing; what the job would have left behind is put into the
workspace when the servo comes to read it, unless its step has failed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.launched import launch
from tests.support.notebooks import job_notebook
from tests.support.proxy import Call, Proxy
from tests.support.samples import notebook, result_json
from tests.support.servo import PATIENCE, until, write_configuration
from tests.support.stage import clusters_of, records_of
from tests.support.stride import StrideClock
from tests.support.supervisor import Supervisor

__all__ = ["TOKEN", "Asked", "OptimizerProcess", "Play", "Relay", "Theatre", "theatre"]

BUCKET = "acme-servo"
TOKEN = "s3cret"
PATH = "/accounts/example.com/applications/nightly/servo"
_LISTENING = "listening on "


class OptimizerProcess:
    """`servo-emr optimizer` on a port of its own, which it keeps through `kill` and `start`. A context manager."""

    def __init__(self, folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.storage = f"sqlite:///{folder / 'study.db'}"
        self._folder, self._options, self._lock = folder, options, threading.Lock()
        self._environment = {"OPSANI_OPTIMIZER": "example.com/nightly", "OPSANI_TOKEN": TOKEN, **(environment or {})}
        self.starts = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        """Both streams of all its processes."""
        return (self._folder / "optimizer.log").read_text()

    def start(self) -> None:
        """Its port is nobody's while it does not run: whoever is given it meanwhile, as any port, has to let it go."""
        for _ in range(20):
            if self._listens():
                return
            time.sleep(0.5)
        raise AssertionError(self.said)

    def _listens(self) -> bool:
        words = ["optimizer", "--port", str(self.port), "--storage", self.storage]
        with (self._folder / "optimizer.log").open("a") as log:
            self.process = launch(
                "servo-emr",
                *words,
                *self._options,
                folder=self._folder,
                environment={**os.environ, **self._environment},
                stderr=log.fileno(),
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line and "Address already in use" in self.said.splitlines()[-1]:
            self.process.stdout.close()
            return False
        self.starts += 1
        assert line.strip() == f"{_LISTENING}{self.url}", (line, self.said)
        return True

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def restart(self) -> None:
        """kill -9, and another process on the same port and study."""
        with self._lock:
            self.kill()
            self.start()

    def status(self) -> dict[str, Any]:
        """GET /status.json."""
        answer = httpx.get(f"{self.url}/status.json", trust_env=False, timeout=PATIENCE)
        answer.raise_for_status()
        return dict(answer.json())

    def order(self, name: str, token: str = TOKEN) -> httpx.Response:
        """POST /cancel, /pause or /resume."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(f"{self.url}/{name}", headers=headers, trust_env=False, timeout=PATIENCE)

    def reaches(
        self, what: str, condition: Callable[[dict[str, Any]], Any], patience: float = PATIENCE
    ) -> dict[str, Any]:
        """The first status that fulfils the condition; it may be killed and started meanwhile."""

        def found() -> dict[str, Any] | None:
            with contextlib.suppress(httpx.TransportError):
                status = self.status()
                return status if condition(status) else None
            return None

        return dict(until(what, found, patience))

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.stop()


@dataclass(frozen=True)
class Asked:
    """One request of a servo and the answer to it, None where the servo got none."""

    event: str
    body: dict[str, Any]
    answer: dict[str, Any] | None

    @property
    def command(self) -> str:
        """The command of an answer to WHATS_NEXT; "" of any other."""
        return str((self.answer or {}).get("cmd", ""))

    @property
    def name(self) -> str:
        """The event, progress told from results; of WHATS_NEXT with what it was told."""
        if self.event == "WHATS_NEXT":
            return f"WHATS_NEXT {self.command}".strip()
        return f"{self.event} progress" if "progress" in (self.body.get("param") or {}) else self.event


class Relay:
    """Passes a servo's requests on to an optimizer. A context manager.

    `before` is called with a request before it is passed on, `after` with request and answer before the answer is: one
    that returns True has it dropped, as when the optimizer is killed then.
    """

    def __init__(self, target: str) -> None:
        self._host, self._port = "127.0.0.1", int(target.rpartition(":")[2])
        self.before: Callable[[Asked], bool] = lambda asked: False
        self.after: Callable[[Asked], bool] = lambda asked: False
        self.seen: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="relay", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def passed(self, path: str, headers: Mapping[str, str], text: bytes) -> tuple[int, bytes] | None:
        """The status and body of the answer; None: there is to be none."""
        body = json.loads(text)
        asked = Asked(body["event"], body, None)
        if self.before(asked):
            self.seen.append(asked)
            return None
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
        try:
            connection.request("POST", path, text, dict(headers))
            answer = connection.getresponse()
            status, content = answer.status, answer.read()
        except OSError:
            self.seen.append(asked)
            return None
        finally:
            connection.close()
        asked = Asked(body["event"], body, json.loads(content))
        dropped = self.after(asked)
        self.seen.append(Asked(body["event"], body, None) if dropped else asked)
        return None if dropped else (status, content)

    def commands(self, name: str) -> list[dict[str, Any]]:
        """The commands of that name that have reached the servo, oldest first."""
        return [asked.answer for asked in self.seen if asked.answer is not None and asked.command == name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(relay: Relay) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"]))
            kept = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
            found = relay.passed(self.path, kept, text)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                if found is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(found[0])
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(found[1])))
                self.end_headers()
                self.wfile.write(found[1])

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()
                return
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing: what was asked is on record."""

    return Handler


@dataclass
class Theatre:
    """One emulator whose steps take a table's times, for many plays."""

    emulator: EmulatorProcess
    account: Account
    proxy: Proxy
    clock: StrideClock

    @property
    def env(self) -> dict[str, str]:
        return {**self.emulator.env, "AWS_ENDPOINT_URL": self.proxy.url, "SERVO_EMR_CLOCK": self.clock.url}

    def faults(self, *faults: Mapping[str, Any]) -> None:
        """What goes wrong from now on; none: nothing."""
        url = f"{self.emulator.url}/_emulator/faults"
        httpx.post(url, json=list(faults), trust_env=False).raise_for_status()

    @contextmanager
    def servo(
        self, folder: Path, workspace: str, url: str, changes: Mapping[str, Any] | None = None
    ) -> Iterator[Supervisor]:
        """A supervised `servo run` on a workspace of that name, driven by what is at the URL."""
        folder.mkdir(parents=True, exist_ok=True)
        job_notebook(folder / "job.ipynb")
        own = {
            "workspace": f"s3://{BUCKET}/{workspace}",
            "cluster.log_uri": f"s3://{BUCKET}/{workspace}/logs",
            "job.metrics": None,
            "prices.live": False,
            "components.core.replicas": {"min": 1, "max": 4, "value": 2},
        }
        path = write_configuration(folder, {**own, **(changes or {})})
        backoff = {"settings": {"backoff": {"__default__": {"max_time": "60s"}}}}
        path.write_text(path.read_text() + yaml.safe_dump(backoff))
        with Supervisor(folder, url, self.env) as servo:
            yield servo

    @contextmanager
    def play(self, folder: Path, name: str, *options: str, changes: Mapping[str, Any] | None = None) -> Iterator[Play]:
        """An optimizer, a relay before it, and a servo that is driven by it."""
        with OptimizerProcess(folder, *options) as optimizer, Relay(optimizer.url) as relay:
            with self.servo(folder / "servo", name, relay.url, changes) as servo:
                yield Play(self, f"s3://{BUCKET}/{name}", folder / "servo", optimizer, relay, servo)
            self.faults()


@dataclass
class Play:
    """One servo and its optimizer."""

    theatre: Theatre
    workspace: str
    folder: Path
    optimizer: OptimizerProcess
    relay: Relay
    servo: Supervisor
    dead: list[str] = field(default_factory=list)

    def reaches(
        self, what: str, condition: Callable[[dict[str, Any]], Any], patience: float = PATIENCE
    ) -> dict[str, Any]:
        try:
            return self.optimizer.reaches(what, condition, patience)
        except AssertionError as error:
            told = [asked.name for asked in self.relay.seen][-12:]
            raise AssertionError(f"{error}; {told}; {self.optimizer.said[-3000:]}; {self.servo.log[-3000:]}") from None

    def settled(self, patience: float = 6 * PATIENCE) -> dict[str, Any]:
        """The status once the best is applied."""
        return self.reaches("settled", lambda status: status["state"] == "settled" and self._rests(), patience)

    def _rests(self) -> bool:
        return bool(self.relay.commands("SLEEP"))

    def clusters(self) -> list[dict[str, Any]]:
        return clusters_of(self.theatre.account, self.workspace)

    def records(self) -> list[dict[str, Any]]:
        return records_of(self.theatre.account, self.workspace)

    def wrong(self, status: Mapping[str, Any]) -> list[str]:
        """What of the study does not agree with the account: launches, records, dollars, clusters left; in words."""
        records = {record["run_id"]: record for record in self.records()}
        runs = [trial["run_id"] for trial in status["trials"] if trial["run_id"]]
        launched = [cluster["Name"].split(" ")[-1] for cluster in self.clusters()]
        paid = sum(record["cost"]["usd"] if record["cost"] else record["cost_so_far"] for record in records.values())
        alive = self.theatre.account.alive()
        found = [f"{cluster} is alive" for cluster in alive]
        found += [f"run {run} is of two trials" for run in runs if runs.count(run) > 1]
        found += [f"run {run} of a trial was never launched" for run in runs if run not in launched]
        found += [f"run {run} was launched twice" for run in launched if launched.count(run) > 1]
        if abs(paid - status["spent_usd"]) > 0.0001 * max(1, len(records)):
            found.append(f"{paid:.4f} USD were spent, the study says {status['spent_usd']:.4f}")
        return found


@contextmanager
def theatre(folder: Path, table: Sequence[tuple[str, int, float | None]]) -> Iterator[Theatre]:
    """An emulator by a table of (type, core nodes, seconds; None: the step fails after a minute)."""
    lines = ["instance_type,node_count,completed,elapsed_seconds"]
    lines += [f"{name},{count},{int(seconds is not None)},{seconds or 60}" for name, count, seconds in table]
    (folder / "runtimes.csv").write_text("\n".join(lines) + "\n")
    empty = folder / "empty"
    empty.mkdir()
    words = ("--no-execute", "--seed", "theatre")
    data = [f"s3://{BUCKET}/={empty}"]
    with EmulatorProcess(*words, durations=f"replay:{folder / 'runtimes.csv'}", data=data) as emulator:
        account = Account(emulator)
        try:
            with Proxy(emulator.url) as proxy, StrideClock(emulator, 600.0) as clock:
                found = Theatre(emulator, account, proxy, clock)
                _prompt(found)
                yield found
        finally:
            account.close()


def _prompt(found: Theatre) -> None:
    """Leaves what a job that has run leaves behind, whenever a servo comes for it."""

    def comes(call: Call) -> bool:
        return call.operation == "GetObject" and call.key.endswith("/result.json")

    def leave(call: Call) -> None:
        found.proxy.trap("before", comes, leave, drop=False)
        run_id = call.key.split("/")[-2]
        cluster = next((one for one in found.account.clusters() if one["Name"].endswith(f" {run_id}")), None)
        if cluster is None or found.account.step(cluster["Id"])["Status"]["State"] != "COMPLETED":
            return
        home = call.key.rpartition("/")[0]
        for name, body in (("result.json", result_json(run_id)), ("output.ipynb", notebook())):
            found.account["s3"].put_object(Bucket=BUCKET, Key=f"{home}/{name}", Body=body)

    found.proxy.trap("before", comes, leave, drop=False)
