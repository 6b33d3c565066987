"""Everything that stands around a servo which is to be interrupted: emulator, proxy, clock, account, optimizer.

One emulator serves many scenes; each scene has a folder, a workspace, an optimizer and a supervised servo of its own.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.aws import Account
from tests.support.emulator import EmulatorProcess
from tests.support.notebooks import job_notebook
from tests.support.optimizer import Command
from tests.support.persistent import PersistentOptimizer
from tests.support.promise import Surroundings
from tests.support.proxy import Call, Proxy
from tests.support.servo import PATIENCE, write_configuration
from tests.support.stride import StrideClock
from tests.support.supervisor import Supervisor

__all__ = ["BUCKET", "Scene", "Stage", "clusters_of", "records_of", "staged"]

BUCKET = "acme-servo"
# A cluster is ready 487 s (5 % more or less) after its launch; its step then takes exactly 900 s, its end 60 s. Strides
# of 600 s give one look while it starts, two while it runs and one when it has ended, whatever a look's jitter.
LAW = ("--model", "a=900,b=0,c=0,d=0", "--noise", "0")
STRIDE_S = 600.0
FOREIGN = "servo-emr 0f0f0f0f 20260101t000000-0f0f0f0f"  # of another workspace, though it looks like ours


@dataclass
class Stage:
    """The shared parts."""

    emulator: EmulatorProcess
    account: Account
    proxy: Proxy
    clock: StrideClock
    foreign: str

    @property
    def env(self) -> dict[str, str]:
        """A servo's environment: AWS is behind the proxy, W moves when it sleeps."""
        return {**self.emulator.env, "AWS_ENDPOINT_URL": self.proxy.url, "SERVO_EMR_CLOCK": self.clock.url}

    @contextmanager
    def scene(
        self,
        folder: Path,
        name: str,
        changes: Mapping[str, Any] | None = None,
        optimizer: Callable[[], PersistentOptimizer] = PersistentOptimizer,
    ) -> Iterator[Scene]:
        """A servo under restart on a workspace of its own, named `name`; the proxy's numbers begin anew."""
        folder.mkdir(parents=True, exist_ok=True)
        self.prepare(folder, name, changes)
        self.proxy.reset()
        before = Surroundings.of(self.account)
        with optimizer() as asking, Supervisor(folder, asking.url, self.env) as servo:
            yield Scene(self, f"s3://{BUCKET}/{name}", folder, asking, servo, before)
        self.proxy.reset()

    def prepare(self, folder: Path, name: str, changes: Mapping[str, Any] | None = None) -> None:
        """Notebook and servo.yaml; servo gives an optimizer up that has not answered for some seconds."""
        job_notebook(folder / "job.ipynb")
        own = {"workspace": f"s3://{BUCKET}/{name}", "cluster.log_uri": f"s3://{BUCKET}/{name}/logs"}
        path = write_configuration(folder, {**own, **(changes or {})})
        backoff = {"settings": {"backoff": {"__default__": {"max_time": "4s"}}}}
        path.write_text(path.read_text() + yaml.safe_dump(backoff))


@dataclass
class Scene:
    """One servo and its optimizer."""

    stage: Stage
    workspace: str
    folder: Path
    optimizer: PersistentOptimizer
    servo: Supervisor
    before: Surroundings

    @property
    def account(self) -> Account:
        return self.stage.account

    def answers(self) -> list[dict[str, Any]]:
        """Every terminal answer that reached the optimizer, oldest first."""
        return self.optimizer.terminal()

    def ask(self, command: Command) -> dict[str, Any]:
        """A command's result, through however many restarts."""
        return self.settled(self.optimizer.ask(command))

    def settled(self, uid: str, patience: float = PATIENCE) -> dict[str, Any]:
        try:
            return self.optimizer.settled(uid, patience)
        except AssertionError as error:
            raise AssertionError(f"{error}; the servo's log ends {self.servo.log[-6000:]}") from None

    def kill(self, call: Call) -> None:
        """kill -9."""
        self.servo.send(signal.SIGKILL)

    def terminate(self, call: Call) -> None:
        """SIGTERM."""
        self.servo.send(signal.SIGTERM)

    def clusters(self) -> list[dict[str, Any]]:
        """The clusters of this workspace, the oldest first."""
        return clusters_of(self.stage.account, self.workspace)

    def records(self) -> list[dict[str, Any]]:
        """The records of this workspace, the oldest first."""
        return records_of(self.stage.account, self.workspace)


def records_of(account: Account, workspace: str) -> list[dict[str, Any]]:
    keys = account.keys(f"{workspace}/records")
    return [account.record(workspace, key.rsplit("/", 1)[-1].removesuffix(".json")) for key in keys]


def clusters_of(account: Account, workspace: str) -> list[dict[str, Any]]:
    """Those whose name carries the workspace's id."""
    keys = account.keys(workspace)
    if "workspace.json" not in keys:
        return []
    workspace_id = json.loads(account.read(f"{workspace}/workspace.json"))["id"]
    ours = [c for c in account.clusters() if c["Name"].startswith(f"servo-emr {workspace_id} ")]
    return sorted(ours, key=lambda cluster: cluster["Status"]["Timeline"]["CreationDateTime"])


_numbers = itertools.count()


@contextmanager
def staged(folder: Path, *options: str, stride: float = STRIDE_S) -> Iterator[Stage]:
    """An emulator whose W moves only while a servo sleeps, with another workspace's cluster alive in it."""
    empty = folder / f"empty-{os.getpid()}-{next(_numbers)}"
    empty.mkdir(parents=True)
    cap = () if "--no-execute" in options else ("--process-cap", "10m")
    with EmulatorProcess(*LAW, *cap, *options, data=[f"s3://{BUCKET}/={empty}"]) as emulator:
        account = Account(emulator)
        foreign = account["emr"].run_job_flow(
            Name=FOREIGN,
            ReleaseLabel="emr-7.1.0",
            Applications=[{"Name": "Hadoop"}],
            ServiceRole="EMR_DefaultRole",
            JobFlowRole="EMR_EC2_DefaultRole",
            Instances={
                "InstanceGroups": [{"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1}],
                "KeepJobFlowAliveWhenNoSteps": True,
            },
        )["JobFlowId"]
        emulator.advance(900.0)  # it is there before anything goes wrong
        try:
            with Proxy(emulator.url) as proxy, StrideClock(emulator, stride) as clock:
                yield Stage(emulator, account, proxy, clock, foreign)
        finally:
            account.close()
