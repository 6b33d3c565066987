"""What holds for every test: no developer's environment, no credentials, no proxy between a test and its servers.

Nothing of servo_emr is imported here, so that each tier's tests choose what they touch.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import pytest

FOREIGN = ("AWS_", "SERVO_", "OPSANI_", "JUPYTER_", "PAPERMILL_", "SPARK_", "PYSPARK_")
DEVELOPER_HOME = "PYTEST_DEVELOPER_HOME"  # xdist's workers are born after HOME has changed, and find it here
LONGEST = (
    "test_schedules.py",
    "test_optimizer_interrupted.py",
    "test_soak.py",
    "test_optimizer_converges.py",
    "test_interruption.py",
    "test_secrets.py",
    "test_hostile_optimizer.py",
    "test_crash_sweep.py",
    "test_interruption_commands.py",
    "test_servo_run_failures.py",
    "test_servo_run.py",
    "test_setup.py",
)
"""The files that take longest, in this order: at the end nobody is left alone with one of them."""
SCRATCH = pytest.StashKey["tempfile.TemporaryDirectory[str]"]()


def isolate(environment: MutableMapping[str, str], home: Path) -> None:
    """Take away what would reach a test from outside, and say where HOME is now."""
    for name in [name for name in environment if name.startswith(FOREIGN)]:
        del environment[name]
    environment["HOME"] = str(home)
    environment["NO_PROXY"] = environment["no_proxy"] = "127.0.0.1,localhost"
    environment["AWS_EC2_METADATA_DISABLED"] = "true"  # boto3 without credentials asks 169.254.169.254 otherwise


def pytest_configure(config: pytest.Config) -> None:
    """Isolate the whole process first: fixtures of session scope start servers before any test's own fixtures run."""
    os.environ.setdefault(DEVELOPER_HOME, str(Path.home()))
    config.stash[SCRATCH] = tempfile.TemporaryDirectory(prefix="servo-emr-tests-")
    isolate(os.environ, Path(config.stash[SCRATCH].name))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are numbered, not spelt: a gzip header holds the second, and each worker must collect the same names."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; `--no-loadscope-reorder` lets it stay so among workers."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    config.stash[SCRATCH].cleanup()


@pytest.fixture(autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A HOME of its own for each test, and an environment that is as it was when the test has ended."""
    before = dict(os.environ)
    isolate(os.environ, tmp_path_factory.mktemp("home"))
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def developer_home() -> Path:
    """The HOME pytest was started with, for what has to be shared with it: pip's cache and configuration."""
    return Path(os.environ[DEVELOPER_HOME])
