"""An error of the door with everything that its frames hold: servox's log shows the values of local variables."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from servo_emr.aws.door import Door, Patience
from servo_emr.domain.errors import LaunchUnclear, RunError
from tests.support.emulator import EmulatorProcess

PLANTED = {
    "AWS_ACCESS_KEY_ID": "ASIAPLANTEDKEYID0000",
    "AWS_SECRET_ACCESS_KEY": "planted/SecretAccessKey+0123456789",
    "AWS_SESSION_TOKEN": "plantedSessionToken0123456789",
}
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--no-execute") as process:
        yield process


@pytest.fixture
def point(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Points this process at an endpoint, with planted keys; sets faults there."""

    def pointed(url: str | None = None, *faults: dict[str, Any]) -> Door:
        for name, value in {**emulator.env, **PLANTED}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", url or emulator.url)
        _set(emulator, *faults)
        return Door("us-east-1", Patience.QUICK)

    yield pointed
    _set(emulator)


def _set(emulator: EmulatorProcess, *faults: dict[str, Any]) -> None:
    httpx.post(f"{emulator.url}/_emulator/faults", json=list(faults), trust_env=False).raise_for_status()


DENIED = {"kind": "access-denied", "operation": "ListClusters"}
DROPPED = {"kind": "drop-reply", "operation": "ListClusters"}


@pytest.mark.parametrize(("url", "faults"), [(None, (DENIED,)), (None, (DROPPED,)), (NOWHERE, ())])
@pytest.mark.parametrize("verb", ["call", "call_once"])
async def test_no_frame_of_a_failed_call_holds_a_secret(
    point: Any, url: str | None, faults: tuple[dict[str, Any], ...], verb: str
) -> None:
    door = point(url, *faults)
    with pytest.raises((RunError, LaunchUnclear)) as caught:
        await getattr(door, verb)("emr", "ListClusters")
    told = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "service = 'emr'" in told, "the values of our own frames are there"
    assert caught.value.__cause__ is not None, "and what the SDK said"
    assert [name for name, value in PLANTED.items() if value in told] == []
