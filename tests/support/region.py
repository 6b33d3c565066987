"""An emulator inside the test's own process, whose nodes leave what a job of theirs would have left.

Steps are not executed: they take their planned time, and what the notebook's runner would have put into the workspace
is put there at their start. W moves only when somebody moves it. One at a time in a process: moto's S3 is shared.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from moto.iam.models import iam_backends
from moto.s3.models import s3_backends

from servo_emr.emulator.app import Emulator
from servo_emr.emulator.node.logs import Logs
from servo_emr.emulator.node.unexecuted import UnexecutedMachine
from servo_emr.emulator.settings import Settings
from servo_emr.emulator.storage.s3 import Objects
from servo_emr.emulator.world.durations import Ernest
from servo_emr.emulator.world.events import Job
from servo_emr.emulator.world.ids import Ids
from servo_emr.emulator.world.records import Cluster, Step
from servo_emr.emulator.world.world import World
from tests.support.samples import notebook, result_json

__all__ = ["JOB_S", "START", "Region", "left_by", "region"]

START = 1_795_003_200.0
"""2026-11-18 12:00 UTC."""
JOB_S = 900.0
"""What each step takes, whatever the cluster."""
_JOB = re.compile(r"s3://([^/]+)/(.*)/runs/([^/]+)/job\.json")
Leavings = Callable[[str], Mapping[str, bytes]]


def left_by(run_id: str) -> Mapping[str, bytes]:
    """What a job that succeeded leaves in its run's folder, by name."""
    return {"result.json": result_json(run_id), "output.ipynb": notebook()}


class _Nodes(UnexecutedMachine):
    """Each step leaves in its run's folder what `leaves` gives for that run."""

    leaves: Leavings = staticmethod(left_by)
    objects: Objects

    def step(self, cluster: Cluster, step: Step) -> Job:
        job = next(filter(None, map(_JOB.fullmatch, step.request.args)), None)
        if job is not None:
            for name, body in self.leaves(job[3]).items():
                self.objects.put(job[1], f"{job[2]}/runs/{job[3]}/{name}", body)
        return super().step(cluster, step)


class Region(Emulator):
    """The emulator, with the handles that a test needs. Made by `region`."""

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to take this for AWS; of W it must be told."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "emulated",
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def now(self) -> float:
        """W."""
        return self._driver.clock()[0]

    def advance(self, seconds: float) -> float:
        """Moves W on; the new W."""
        return self._driver.advance(seconds)[0]

    def next_event(self) -> float | None:
        """When the next thing happens by itself."""
        with self._driver.world() as world:
            event = world.next_event()
            return None if event is None else event.at

    def set_faults(self, faults: Sequence[Mapping[str, Any]]) -> None:
        """These, and no others, from now on."""
        self._faults.replace([dict(fault) for fault in faults], self.now())

    def unstruck(self) -> list[Mapping[str, Any]]:
        """The faults that have met nobody."""
        return [fault for fault in self._faults.list() if not fault["struck"]]

    def clusters(self, prefix: str = "") -> list[Cluster]:
        """All clusters whose name begins so, the oldest first."""
        with self._driver.world() as world:
            return [cluster for cluster in world.clusters if cluster.launch.name.startswith(prefix)]

    def calls(self) -> Counter[str]:
        """How many calls were answered since this was last asked, by service and operation."""
        calls = Counter(f"{call['service']}:{call['operation']}" for call in self._calls.list())
        self._calls._calls.clear()
        return calls

    def objects(self) -> dict[str, str]:
        """Every object that there is, by URI, with its ETag."""
        return {
            f"s3://{name}/{key.name}": str(key.etag)
            for name, bucket in self._objects._backend.buckets.items()
            for key in bucket.keys.values()
        }

    def put(self, uri: str, body: bytes) -> None:
        """An object as somebody else has left it."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        assert self._objects.put(bucket, key, body), f"there is no bucket {bucket}"

    def get(self, uri: str) -> bytes:
        """The body of an object."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        found = self._objects._backend.get_object(bucket, key)
        assert found is not None, f"there is no {uri}"
        return bytes(found.value)

    def documents(self, prefix: str) -> list[dict[str, Any]]:
        """The JSON documents below a URI, in the order of their keys."""
        return [json.loads(self.get(uri)) for uri in sorted(self.objects()) if uri.startswith(prefix)]

    def leave(self, leaves: Leavings) -> None:
        """From now on a step leaves this in its run's folder."""
        assert isinstance(self._machine, _Nodes)
        self._machine.leaves = leaves

    def begin_anew(self, *buckets: str) -> None:
        """As it was in the beginning: W at `START`, no cluster, no fault; these buckets, empty. Ids come again too."""
        ids = Ids(self._settings.seed)
        self._faults.replace([], START)
        driver = self._driver
        with driver.world():
            driver._world = World(
                now=START,
                ids=ids,
                machine=self._machine,
                durations=self._durations(ids),
                mishaps=self._faults,
                spot=self._market,
            )
            driver._clock.set(START, 0.0)
        backend = self._objects._backend
        for bucket in backend.buckets.values():
            bucket.keys.clear()
        for name in set(buckets) - set(backend.buckets):
            backend.create_bucket(name, self._settings.region)
        self.leave(left_by)

    def _make_machine(self) -> _Nodes:
        nodes = _Nodes(self._root, Logs(self._objects))
        nodes.objects = self._objects
        return nodes


@contextmanager
def region() -> Iterator[Region]:
    """An emulator on a free port of 127.0.0.1."""
    for backends in (s3_backends, iam_backends):
        backends.reset()
    law = Ernest(JOB_S, 0.0, 0.0, 0.0)
    made = Region(Settings(speed=0.0, durations=law, noise=0.0, execute=False, seed="1"), threading.Event())
    try:
        made.start()
        yield made
    finally:
        made.close()
