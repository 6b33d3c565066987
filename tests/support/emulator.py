"""An emulator as tests use it: a process of its own, reached over HTTP like AWS."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
import httpx
from botocore.config import Config

from tests.support.launched import launch

__all__ = ["EmulatorProcess"]

_LISTENING = "listening on "
# How long a request may really take: an advance waits for the processes on its way.
_PATIENCE = 120.0


class EmulatorProcess:
    """`servo-emr emulator` on a free port, W driven by hand unless `speed` says otherwise.

    `options` are further words of its command line. Usable as a context manager.
    """

    def __init__(
        self,
        *options: str,
        durations: str = "model",
        speed: float = 0.0,
        data: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        words = ["emulator", "--port", "0", "--durations", durations, "--speed", f"{speed:g}", *options]
        words += [word for seed in data for word in ("--data", seed)]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the process)
        self.process = launch(
            "servo-emr",
            *words,
            folder=Path.cwd(),
            environment={**os.environ, **(environment or {})},
            stderr=self._stderr.fileno(),
        )
        self.url = self._wait_until_ready()
        self._http = httpx.Client(base_url=self.url, timeout=_PATIENCE, trust_env=False)
        self._clients: dict[tuple[str, bool, str], Any] = {}
        self._making = threading.Lock()  # boto3 makes clients in one thread at a time

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to take the emulator for AWS, and W for its clock."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "emulated",
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SERVO_EMR_CLOCK": self.url,
        }

    def client(self, service: str, *, check: bool = True, region: str = "us-east-1") -> Any:
        """A boto3 client that tries once; the same for the same arguments, any thread may use it. Closed by `stop`.

        `check` False: it sends what its own service model would refuse.
        """
        with self._making:
            key = (service, check, region)
            if key not in self._clients:
                self._clients[key] = boto3.client(
                    service,
                    endpoint_url=self.url,
                    region_name=region,
                    aws_access_key_id="test",
                    aws_secret_access_key="test",
                    config=Config(
                        retries={"total_max_attempts": 1}, parameter_validation=check, max_pool_connections=20
                    ),
                )
            return self._clients[key]

    @property
    def stderr(self) -> str:
        """What it has said on standard error so far."""
        position = self._stderr.seek(0, os.SEEK_CUR)
        self._stderr.seek(0)
        text = self._stderr.read().decode()
        self._stderr.seek(position)
        return text

    def advance(self, seconds: float) -> float:
        """Moves W on, events and processes on the way included; the new W."""
        return float(self._post("clock", {"advance": seconds})["now"])

    def now(self) -> float:
        return float(self.get("clock")["now"])

    def calls(self, service: str | None = None, operation: str | None = None) -> list[dict[str, Any]]:
        """The API calls answered so far, oldest first."""
        wanted = {"service": service, "operation": operation}
        return list(self.get("calls", **{name: value for name, value in wanted.items() if value is not None}))

    def state(self) -> dict[str, Any]:
        return dict(self.get("state"))

    def faults(self, *faults: Mapping[str, Any]) -> None:
        """Replaces all faults."""
        answer = self._http.post("/_emulator/faults", json=list(faults))
        assert answer.status_code == 200, answer.text

    def get(self, route: str, **query: Any) -> Any:
        """GET /_emulator/ROUTE; the JSON of its answer."""
        answer = self._http.get(f"/_emulator/{route}", params=query)
        answer.raise_for_status()
        return answer.json()

    def stop(self) -> int:
        """Ends it as a person would; its exit status."""
        for client in (self._http, *self._clients.values()):
            client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()
            self._stderr.close()
        return status

    def __enter__(self) -> EmulatorProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _post(self, route: str, document: Mapping[str, Any]) -> Any:
        answer = self._http.post(f"/_emulator/{route}", json=dict(document))
        answer.raise_for_status()
        return answer.json()

    def _wait_until_ready(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(_LISTENING):
                return line.removeprefix(_LISTENING).strip()
        raise AssertionError(f"the emulator did not start (exit status {self.process.wait()}): {self.stderr}")
