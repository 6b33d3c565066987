"""What the node's shims make of their arguments: pure functions of the programs that the shims run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servo_emr.emulator.node.shims.python import venv_arguments
from servo_emr.emulator.node.shims.script import interpreter_of, localise
from servo_emr.emulator.node.shims.spark_submit import local
from servo_emr.emulator.node.shims.sudo import command_of

FOLDERS = {"/home/hadoop": "/scratch/j-1/home", "/mnt/var/lib/info": "/scratch/j-1/info"}


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("/home/hadoop", "/scratch/j-1/home"),
        ("/home/hadoop/", "/scratch/j-1/home/"),
        ("/home/hadoop/a/b.py", "/scratch/j-1/home/a/b.py"),
        ("spark.pyspark.python=/home/hadoop/env/bin/python", "spark.pyspark.python=/scratch/j-1/home/env/bin/python"),
        ("/home/hadoop/a.jar,/home/hadoop/b.jar", "/scratch/j-1/home/a.jar,/scratch/j-1/home/b.jar"),
        ("file:///home/hadoop/a", "file:///scratch/j-1/home/a"),
        ('cd "/home/hadoop"; ls /home/hadoop\n', 'cd "/scratch/j-1/home"; ls /scratch/j-1/home\n'),
        ("grep isMaster /mnt/var/lib/info/instance.json", "grep isMaster /scratch/j-1/info/instance.json"),
    ],
)
def test_a_path_that_begins_in_a_real_nodes_folder_means_this_nodes(text: str, moved: str) -> None:
    assert localise(text, FOLDERS) == moved


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/home/hadoop/a",
        "hdfs:///home/hadoop/a",
        "/mnt/home/hadoop/a",
        "../home/hadoop",
        "/home/hadoop2/a",
        "/home/hadoop-user",
        "/home/hadoop.old",
        "$ROOT_/home/hadoop",
    ],
)
def test_a_path_that_only_contains_the_folder_stays(text: str) -> None:
    assert localise(text, FOLDERS) == text


@given(st.text(max_size=60), st.text(max_size=60))
def test_moving_paths_twice_is_moving_them_once(before: str, after: str) -> None:
    once = localise(f"{before}/home/hadoop{after}", FOLDERS)
    assert localise(once, FOLDERS) == once


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (["yum", "-y", "install"], ["yum", "-y", "install"]),
        (["-E", "-H", "-n", "env"], ["env"]),
        (["-u", "hadoop", "id", "-u"], ["id", "-u"]),
        (["-nu", "hadoop", "id"], ["id"]),
        (["-uhadoop", "id"], ["id"]),
        (["--user", "hadoop", "id"], ["id"]),
        (["--user=hadoop", "--", "-weird"], ["-weird"]),
        (["-E"], []),
    ],
)
def test_sudo_drops_itself_and_its_options(line: list[str], command: list[str]) -> None:
    assert command_of(line) == ({}, command)


def test_sudo_sets_the_variables_before_the_command_and_none_after() -> None:
    assert command_of(["-E", "A=1", "B=x=y", "make", "C=2"]) == ({"A": "1", "B": "x=y"}, ["make", "C=2"])


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        (["-m", "venv", "env"], ["env"]),
        (["-mvenv", "env"], ["env"]),
        (["-I", "-m", "venv", "--clear", "env"], ["--clear", "env"]),
        (["-Im", "venv", "env"], ["env"]),
        (["-W", "error", "-Xdev", "-m", "venv", "env"], ["env"]),
        (["--check-hash-based-pycs", "always", "-m", "venv", "env"], ["env"]),
        (["-m", "pip", "-m", "venv"], None),
        (["-c", "import venv", "-m", "venv"], None),
        (["-Wc", "-m", "venv", "env"], ["env"]),
        (["script.py", "-m", "venv"], None),
        (["-", "-m", "venv"], None),
        (["-W"], None),
        (["-m"], None),
        ([], None),
    ],
)
def test_python_recognises_a_call_of_venv_as_the_interpreter_would(
    line: list[str], arguments: list[str] | None
) -> None:
    assert venv_arguments(line) == arguments


LOCAL = ["--master", "local[2]", "--deploy-mode", "client"]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (["app.py"], ["app.py"]),
        (["--master", "yarn", "--deploy-mode", "cluster", "app.py"], ["app.py"]),
        (["--master=yarn", "--deploy-mode=cluster", "app.py"], ["app.py"]),
        (["--conf", "spark.master=yarn", "-c", "spark.submit.deployMode=cluster", "app.py"], ["app.py"]),
        (["--conf=spark.master=yarn", "app.py"], ["app.py"]),
        (["--conf", "spark.masterful=1", "app.py"], ["--conf", "spark.masterful=1", "app.py"]),
        (["--verbose", "--master", "yarn", "app.py"], ["--verbose", "app.py"]),
        (["--queue", "q", "app.py", "--master", "mine"], ["--queue", "q", "app.py", "--master", "mine"]),
        (["--class", "A", "a.jar", "--conf", "spark.master=x"], ["--class", "A", "a.jar", "--conf", "spark.master=x"]),
        (["--version"], ["--version"]),
        (["--master"], []),
    ],
)  # fmt: skip
def test_spark_submit_changes_master_and_deploy_mode_and_nothing_else(line: list[str], kept: list[str]) -> None:
    assert local(line, 2) == LOCAL + kept


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("", ["bash"]),
        ("echo", ["bash"]),
        ("#!/bin/bash -xe", ["bash", "-xe"]),
        ("#!/usr/bin/env python3", ["python3"]),
        ("#!/usr/bin/env -S python3 -u", ["python3", "-u"]),
        ("#! /usr/bin/python3", ["python3"]),
        ("#!", ["bash"]),
        ("#!/usr/bin/env", ["bash"]),
    ],
)
def test_a_scripts_first_line_names_what_runs_it(line: str, command: list[str]) -> None:
    assert interpreter_of(line) == command
