"""Starting an emulated EMR beside a command, as a process of its own, and pointing this process at it.

While pointed there, nothing of the person's AWS settings is left: an emulated run can never reach a real account.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

from servo_emr.clock import VARIABLE
from servo_emr.domain.errors import Reason, failure

__all__ = ["EMULATED", "emulator", "environment"]

EMULATED = (
    "EMULATED: everything below ran on this machine. No AWS account was used, and no figure is Amazon's: "
    "prices are list prices applied to emulated time."
)
_PREFIX = "listening on "


def environment(url: str, region: str) -> dict[str, str]:
    """The environment of a process that is to see the emulator as its AWS, and nothing else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BOTO_"))}
    return {
        **kept,
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "emulated",
        "AWS_SECRET_ACCESS_KEY": "emulated",
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        **dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(filter(None, ["127.0.0.1", os.environ.get("NO_PROXY")]))),
        VARIABLE: url,
    }


@contextlib.contextmanager
def emulator(
    *,
    region: str,
    durations: str,
    speed: float,
    data: Sequence[str],
    buckets: Sequence[str],
    further: Sequence[str] = (),
    log: IO[str] | None = None,
) -> Iterator[str]:
    """An emulator of our own, ended with the block; its URL. This process's environment points at it meanwhile.

    Args:
        data: s3://BUCKET/PREFIX=FOLDER, as the emulator takes them.
        buckets: further buckets to make, empty.
        further: words for its command line.
        log: where the emulator's own words go; default: standard error.

    Raises:
        RunError: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="servo-emr-") as empty:
        seeds = [*data, *(f"s3://{bucket}/={empty}" for bucket in dict.fromkeys(buckets))]
        command = [sys.executable, "-m", "servo_emr.cli", "emulator", "--port", "0", "--with-parent"]
        command += ["--durations", durations, "--speed", f"{speed:g}", *further]
        command += [word for seed in seeds for word in ("--data", seed)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        before = dict(os.environ)
        try:
            url = _url(process)
            os.environ.clear()
            os.environ.update(environment(url, region))
            yield url
        finally:
            os.environ.clear()
            os.environ.update(before)
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(_PREFIX):
            return line.removeprefix(_PREFIX).strip()
    raise failure(
        Reason.ENDPOINT,
        f"The emulator did not start (exit status {process.wait()}).",
        remedy="Its own words are above. It needs: pip install 'servo-emr[demo]'.",
    )
