"""The emulated node: its environment, its shims, its Python, its bootstrap actions, and its end."""

from __future__ import annotations

import json
import os
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servo_emr.emulator.node.node import PASSED_ON, Node
from servo_emr.emulator.node.shims import write_shims
from tests.support.node import PATIENCE, Endpoint, Runner, node_on, serve

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serve() as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "node"


@pytest.fixture
def runner(endpoint: Endpoint, root: Path, tmp_path: Path) -> Iterator[Runner]:
    with node_on(endpoint, root) as node:
        yield Runner(node, tmp_path / "logs")


# The environment


def test_a_step_sees_an_environment_of_the_nodes_own(
    endpoint: Endpoint, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PASSED_ON:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("AWS_PROFILE", "the servo's")
    monkeypatch.setenv("PYTHONPATH", "/the/servo's")
    with node_on(endpoint, root) as node:
        ended = Runner(node, tmp_path / "logs").run(
            "python3", "-c", "import json, os; print(json.dumps(dict(os.environ)))"
        )
    seen = json.loads(ended.out)
    assert seen["PATH"] == f"{root}/shims:{root}/python/bin:/usr/bin:/bin"
    assert (seen["HOME"], seen["TMPDIR"]) == (f"{root}/home", f"{root}/tmp")
    assert (seen["AWS_ENDPOINT_URL"], seen["AWS_DEFAULT_REGION"]) == (endpoint.url, "us-east-1")
    assert (seen["PIP_NO_INDEX"], seen["SPARK_CONF_DIR"]) == ("1", f"{root}/spark-conf")
    assert not {"AWS_PROFILE", "PYTHONPATH", "NO_PROXY", "PYTEST_CURRENT_TEST"} & set(seen)


def test_each_command_has_a_working_folder_of_its_own_on_the_node(runner: Runner, root: Path) -> None:
    assert runner.run("pwd").out == f"{root}/work/s-1\n"
    assert runner.run("pwd").out == f"{root}/work/s-2\n"


def test_no_shell_looks_at_the_arguments(runner: Runner) -> None:
    words = ["$HOME", "a b", "`id`", "*", "; exit 3", "'", '"', "\\", "", "é\n"]
    ended = runner.run("python3", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words)
    assert json.loads(ended.out) == words


def test_the_home_folder_of_a_real_node_means_this_ones(runner: Runner, root: Path) -> None:
    ended = runner.run("bash", "-c", "echo here > /home/hadoop/file; cat ~/file; echo $0", "conf=/home/hadoop/x")
    assert (ended.status, ended.out) == (0, f"here\nconf={root}/home/x\n")


def test_a_script_can_learn_that_it_runs_on_the_primary_node(runner: Runner) -> None:
    assert json.loads(runner.run("cat", "/mnt/var/lib/info/instance.json").out) == {"isMaster": True}
    assert json.loads(runner.run("cat", "/mnt/var/lib/info/job-flow.json").out) == {"jobFlowId": "j-EMULATED"}


# The shims


def test_sudo_runs_the_command_as_who_is_there_already(runner: Runner) -> None:
    ended = runner.run("sudo", "-E", "-u", "root", "GREETING=hello there", "sh", "-c", "echo $GREETING $USER")
    assert (ended.status, ended.out) == (0, "hello there hadoop\n")


def test_sudo_says_what_it_cannot_run(runner: Runner) -> None:
    assert runner.run("sudo", "-n", "no-such-command").err == "sudo: no-such-command: No such file or directory\n"


def test_the_exit_status_passes_through_a_shim(runner: Runner) -> None:
    assert runner.run("sudo", "python3", "-c", "raise SystemExit(7)").status == 7


@pytest.mark.parametrize("name", ["python", "python3", f"python{MINOR}"])
def test_python_is_the_nodes_environment_over_the_packages_of_this_one(runner: Runner, root: Path, name: str) -> None:
    ended = runner.run(name, "-c", "import sys, boto3; print(sys.prefix); print(boto3.__file__)")
    import boto3

    assert ended.out.splitlines() == [f"{root}/python", boto3.__file__]


def test_the_aws_command_works_on_the_emulators_s3(runner: Runner, endpoint: Endpoint) -> None:
    bucket = endpoint.make_bucket()
    line = f"echo text > /home/hadoop/f && aws s3 cp /home/hadoop/f s3://{bucket}/a/f && aws s3 ls s3://{bucket}/a/"
    ended = runner.run("bash", "-ec", line)
    assert (ended.status, endpoint.text(bucket, "a/f")) == (0, "text\n")
    assert ended.out.endswith(" f\n")


def stat(path: Path) -> list[str]:
    """State, parent and so on; nothing of a process that is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


@pytest.mark.nightly
def test_hundreds_of_steps_leave_no_zombies_behind(runner: Runner) -> None:
    for _ in range(300):
        assert runner.run("true").status == 0
    mine = [process for process in map(stat, Path("/proc").glob("[0-9]*/stat")) if process[1:2] == [str(os.getpid())]]
    assert [process[0] for process in mine].count("Z") < 200


@pytest.mark.parametrize("name", ["yum", "dnf", "rpm", "systemctl"])
def test_what_would_change_this_machine_is_refused(runner: Runner, name: str) -> None:
    ended = runner.run("sudo", name, "install", "-y", "x")
    assert ended.status == 1
    assert ended.err.startswith(f"{name}: refused on this emulated node")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("spark-submit", "pip install 'servo-emr[spark]'"), ("aws", "pip install 'servo-emr[emulator]'")],
)
def test_a_shim_without_its_package_names_the_remedy(runner: Runner, tmp_path: Path, name: str, remedy: str) -> None:
    write_shims(tmp_path / "bare", python=Path(sys.executable), cores=1, spark=None, awscli=False)
    ended = runner.run(str(tmp_path / "bare" / name), "--version")
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert ended.err.endswith(f"{remedy}\n")


# Its Python


def wheel(folder: Path, version: str) -> None:
    """A wheel of one module, with a command of a name that there is already, as pip finds it in a folder."""
    info = f"node_probe-{version}.dist-info"
    files = {
        "node_probe.py": f'VERSION = {version!r}\ndef main():\n    print("the node\'s own")\n',
        f"{info}/entry_points.txt": "[console_scripts]\npapermill = node_probe:main\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: node-probe\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"node_probe-{version}-py3-none-any.whl", "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)


PROBE = ["python3", "-c", "import node_probe; print(node_probe.__file__)"]


def test_without_an_index_pip_takes_what_is_installed_here_as_installed(
    endpoint: Endpoint, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with node_on(endpoint, root) as node:
        runner = Runner(node, tmp_path / "logs")
        ended = runner.run("sudo", "python3", "-m", "pip", "install", "papermill", "ipykernel")
        unknown = runner.run("pip3", "install", "node-probe")
    assert (ended.status, ended.err) == (0, "")
    assert "Collecting" not in ended.out
    assert (unknown.status, "No matching distribution found for node-probe" in unknown.err) == (1, True)


def test_what_pip_installs_on_one_node_is_on_no_other(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path / "wheels", "1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    with node_on(endpoint, tmp_path / "one") as one, node_on(endpoint, tmp_path / "other") as other:
        on_one, on_other = Runner(one, tmp_path / "logs-1"), Runner(other, tmp_path / "logs-2")
        assert on_one.run("pip3", "install", "node-probe").status == 0
        assert on_one.run(*PROBE).out == f"{tmp_path}/one/python/lib/python{MINOR}/site-packages/node_probe.py\n"
        assert "ModuleNotFoundError" in on_other.run(*PROBE).err


def test_an_environment_made_on_the_node_sees_the_nodes_packages_when_asked_to(
    endpoint: Endpoint, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.0", "2.0"):
        wheel(tmp_path / "wheels", version)
    (tmp_path / "constraints.txt").write_text("node-probe==1.0\n", encoding="utf-8")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    python = "/home/hadoop/servo-emr/bin/python"
    with node_on(endpoint, root) as node:
        runner = Runner(node, tmp_path / "logs")
        assert runner.run("pip3", "install", "node-probe==1.0").status == 0
        assert runner.run("python3", "-m", "venv", "--system-site-packages", "/home/hadoop/servo-emr").status == 0
        kept = runner.run(
            python, "-m", "pip", "install", "-c", str(tmp_path / "constraints.txt"), "node-probe", "papermill"
        )
        assert (kept.status, "Collecting" in kept.out) == (0, False)
        seen = runner.run(python, "-c", "import sys, node_probe, papermill; print(sys.prefix, node_probe.__file__)")
        assert seen.out.split() == [
            f"{root}/home/servo-emr",
            f"{root}/python/lib/python{MINOR}/site-packages/node_probe.py",
        ]
        assert runner.run("/home/hadoop/servo-emr/bin/pip", "install", "node-probe==2.0").status == 0
        again = runner.run(python, "-c", "import node_probe; print(node_probe.VERSION)")
        assert again.out == "2.0\n"
        assert "/python/lib" in runner.run(*PROBE).out


def test_an_environment_of_its_own_sees_nothing_of_the_node(runner: Runner) -> None:
    assert runner.run("python3", "-m", "venv", "--without-pip", "/home/hadoop/plain").status == 0
    ended = runner.run("/home/hadoop/plain/bin/python", "-c", "import papermill")
    assert "ModuleNotFoundError" in ended.err


def test_the_standard_messages_of_venv_are_its_own(runner: Runner) -> None:
    ended = runner.run("python3", "-m", "venv", "--no-such-option")
    assert (ended.status, ended.err.startswith("usage: venv ")) == (2, True)


def test_the_commands_of_installed_packages_are_there_unless_a_node_installs_its_own(
    runner: Runner, tmp_path: Path
) -> None:
    ended = runner.run("papermill", "--version")
    assert (ended.status, "papermill/cli.py" in ended.out) == (0, True)
    wheel(tmp_path, "1.0")
    file = tmp_path / "node_probe-1.0-py3-none-any.whl"
    assert runner.run("python3", "-m", "pip", "install", "--no-index", str(file)).status == 0
    assert runner.run("papermill").out == "the node's own\n"


@pytest.mark.parametrize("path", ["/usr/bin/python3", "/usr/local/bin/python3"])
def test_a_command_by_its_path_on_a_real_node_is_the_nodes(runner: Runner, root: Path, path: str) -> None:
    where = "import sys; print(sys.prefix)"
    assert runner.run(path, "-c", where).out == f"{root}/python\n"
    assert runner.run("bash", "-c", f"{path} -c '{where}'").out == f"{root}/python\n"
    assert runner.run("/usr/bin/sudo", "/usr/bin/yum", "install", "x").status == 1


# Bootstrap actions


def test_a_bootstrap_action_is_fetched_from_s3_and_run_with_its_arguments(
    runner: Runner, endpoint: Endpoint, root: Path
) -> None:
    bucket = endpoint.make_bucket()
    script = '#!/bin/bash -e\nmkdir -p /home/hadoop/made\necho "$1|$2" > /home/hadoop/made/by\npwd\n'
    endpoint.s3.put_object(Bucket=bucket, Key="a b/boot+strap.sh", Body=script)
    ended = runner.script(f"s3://{bucket}/a b/boot+strap.sh", "a b", "/home/hadoop/c")
    assert (ended.status, ended.out) == (0, f"{root}/work/s-1\n")
    assert (root / "home" / "made" / "by").read_text(encoding="utf-8") == f"a b|{root}/home/c\n"


def test_a_script_without_a_first_line_is_bashs_and_one_with_it_its_interpreters(
    runner: Runner, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "plain").write_text("[[ a == a ]] && exit 5\n", encoding="utf-8")
    (tmp_path / "python").write_text("#!/usr/bin/python3\nimport sys; print(sys.prefix)\n", encoding="utf-8")
    assert runner.script(str(tmp_path / "plain")).status == 5
    assert runner.script(f"file://{tmp_path}/python").out == f"{root}/python\n"


def test_bytes_that_are_no_text_stay_in_a_script(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(b"printf '%s' '\xff\xe9'\n")
    assert runner.script(str(tmp_path / "script")).status == 0
    assert (tmp_path / "logs" / "s-1.out").read_bytes() == b"\xff\xe9"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("s3://no-such-bucket-here/boot.sh", "The specified bucket does not exist"),
        ("/no/such/file.sh", "No such file or directory"),
        ("https://example.com/boot.sh", "it must be an s3:// URI or a path"),
    ],
)
def test_a_script_that_cannot_be_had_fails_and_says_why(runner: Runner, uri: str, reason: str) -> None:
    ended = runner.script(uri)
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert ended.err.startswith(f"cannot read the script {uri}: ")
    assert reason in ended.err


# The node's end


def test_destroying_a_node_ends_what_its_steps_left_behind_and_removes_the_folder(
    runner: Runner, root: Path, tmp_path: Path
) -> None:
    writer = "i=0; while true; do mkdir -p /home/hadoop/$i; : > /home/hadoop/$i/f; i=$((i+1)); done"
    daemon = "import os, subprocess, sys; subprocess.Popen(['bash', '-c', sys.argv[1]], start_new_session=True)"
    assert runner.run("python3", "-c", daemon, writer).status == 0
    held = runner.start(["sleep", "600"])
    deadline = time.monotonic() + PATIENCE
    while not (root / "home" / "5").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    locked = root / "home" / "locked"
    locked.mkdir()
    (locked / "f").touch()
    (locked / "link").symlink_to(tmp_path)
    mode = tmp_path.stat().st_mode
    locked.chmod(0o500)
    runner.node.destroy()
    assert (root.exists(), held.poll()) == (False, -9)
    assert tmp_path.stat().st_mode == mode
    mark = f"SERVO_EMR_NODE={root}".encode()
    assert [path for path in Path("/proc").glob("[0-9]*/environ") if mark in _read(path)] == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_destroyed_node_starts_nothing_and_can_be_destroyed_again(runner: Runner, root: Path) -> None:
    runner.node.destroy()
    with pytest.raises(RuntimeError, match="has been destroyed"):
        runner.start(["true"])
    runner.node.destroy()
    assert not root.exists()


def test_two_nodes_of_one_name_do_not_end_each_others_processes(endpoint: Endpoint, tmp_path: Path) -> None:
    with node_on(endpoint, tmp_path / "one") as one, node_on(endpoint, tmp_path / "other") as other:
        ended = Runner(one, tmp_path / "logs-1").start(["sleep", "600"])
        kept = Runner(other, tmp_path / "logs-2").start(["sleep", "600"])
        one.destroy()
        assert (ended.poll(), kept.poll()) == (-9, None)


@pytest.mark.parametrize("name", ["with space", "with:colon", "with'quote", "with$dollar"])
def test_a_folder_that_would_break_scripts_is_refused(endpoint: Endpoint, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="would break scripts"), node_on(endpoint, tmp_path / name):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mark", ["", "../up", "a/b", "a b", ".hidden"])
def test_a_mark_that_is_no_name_is_refused(runner: Runner, tmp_path: Path, mark: str) -> None:
    node: Node = runner.node
    with pytest.raises(ValueError, match="cannot mark a process"):
        node.start(["true"], mark=mark, stdout=tmp_path / "o", stderr=tmp_path / "e")
