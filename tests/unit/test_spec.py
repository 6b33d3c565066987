"""A run's description: what makes it legal, the key in a cluster's name, canonical JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servo_emr.domain.spec import NodeGroup, Role, RunKey, Step, canonical, is_run_id, new_run_id, plain, spec_from_json
from tests.support.samples import KEY, RUN_ID, SPEC, WORKSPACE

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_a_key_is_read_back_from_the_name_that_it_gives() -> None:
    assert KEY.name == f"servo-emr cafe0123 {RUN_ID}"
    assert RunKey.parse(KEY.name, WORKSPACE, "cafe0123") == KEY


@pytest.mark.parametrize(
    "name",
    [
        "",
        "servo-emr",
        f"servo-emr cafe0123 {RUN_ID} ",
        f" servo-emr cafe0123 {RUN_ID}",
        f"servo-emr  cafe0123 {RUN_ID}",
        f"servo-emr cafe0123 {RUN_ID}\n",
        f"servo-emr cafe0123 {RUN_ID}0",
        f"servo-emr cafe01234 {RUN_ID}",
        f"servo-emr cafe012 {RUN_ID}",
        f"Servo-EMR cafe0123 {RUN_ID}",
        f"servo-emr-2 cafe0123 {RUN_ID}",
        f"servo-emr CAFE0123 {RUN_ID}",
        f"servo-emr cafe0123 {RUN_ID.upper()}",
        f"servo-emr cafe0123 copy of {RUN_ID}",
        f"servo-emr\tcafe0123 {RUN_ID}",
        "servo-emr cafe0123 ../../other",
        f"servo-emr cafe0123 {RUN_ID.replace('2', '²')}",
    ],
)
def test_a_similar_name_is_not_our_key(name: str) -> None:
    assert RunKey.parse(name, WORKSPACE, "cafe0123") is None


@given(st.text())
def test_whatever_a_cluster_is_called_only_our_exact_key_is_ours(name: str) -> None:
    key = RunKey.parse(name, WORKSPACE, "cafe0123")
    assert key is None or key.name == name


def test_templates_are_filled_with_the_runs_own_folder() -> None:
    assert KEY.fill("{run}/job.json") == f"{WORKSPACE}/runs/{RUN_ID}/job.json"
    assert KEY.fill("no template {here}") == "no template {here}"


@pytest.mark.parametrize("text", ["", RUN_ID + "\n", RUN_ID + "/x", "../" + RUN_ID, RUN_ID[:-1], RUN_ID.upper()])
def test_what_is_no_run_id_cannot_become_part_of_a_key(text: str) -> None:
    assert not is_run_id(text)


def test_a_run_id_is_a_time_and_a_random_number_and_nothing_else() -> None:
    assert new_run_id("20261120t101530", "0123abcd") == RUN_ID
    with pytest.raises(ValueError, match="is not a run id"):
        new_run_id("20261120t101530", "0123ABCD")


def test_a_cluster_has_exactly_one_primary_node() -> None:
    core = SPEC.groups[1]
    with pytest.raises(ValueError, match="not possible"):
        NodeGroup(Role.PRIMARY, "m5.xlarge", 3)
    with pytest.raises(ValueError, match="not possible"):
        NodeGroup(Role.CORE, "m5.xlarge", -1)
    with pytest.raises(ValueError, match="one primary"):
        replace(SPEC, groups=(core,))
    with pytest.raises(ValueError, match="one group per role"):
        replace(SPEC, groups=(*SPEC.groups, core))


def test_a_run_that_measures_nothing_is_not_legal() -> None:
    with pytest.raises(ValueError, match="measured step"):
        replace(SPEC, steps=(Step("prepare", ("true",), measured=False),))


def test_nodes_and_types_are_those_of_the_groups_that_have_nodes() -> None:
    spec = replace(SPEC, groups=(*SPEC.groups, NodeGroup(Role.TASK, "r5.xlarge", 0)))
    assert (spec.nodes, spec.inst_types) == (5, ("m5.xlarge",))
    assert spec.group(Role.TASK) == NodeGroup(Role.TASK, "r5.xlarge", 0)
    assert SPEC.group(Role.TASK) is None


def test_a_spec_of_an_older_version_is_read_with_what_it_did_not_know_at_its_default() -> None:
    document = json.loads(json.dumps(plain(SPEC)))
    for group in document["groups"]:
        for name in ("market", "bid_usd", "disks", "ebs_optimized", "ami_id", "configurations", "fleet"):
            del group[name]
    document["cluster"] = {"release_label": "emr-7.1.0", "log_uri": SPEC.cluster.log_uri}
    assert spec_from_json(document) == SPEC
    for broken in ({}, {**document, "groups": None}, {**document, "unknown": 1}):
        with pytest.raises(ValueError, match="the spec cannot be read"):
            spec_from_json(broken)


@given(json_values)
def test_canonical_text_is_the_value_and_does_not_depend_on_the_order_of_keys(value: object) -> None:
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text


def test_equal_specs_have_equal_canonical_text_and_others_another() -> None:
    assert canonical(SPEC) == canonical(replace(SPEC))
    assert canonical(SPEC) != canonical(replace(SPEC, region="eu-west-1"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), b"bytes"])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical({"a": value})


def test_plain_values_hold_no_tuple_enum_or_dataclass() -> None:
    document = plain(SPEC)
    first = {"role": "primary", "inst_type": "m5.xlarge", "count": 1, "market": "on-demand", "bid_usd": None}
    assert first.items() <= document["groups"][0].items()
    assert spec_from_json(json.loads(json.dumps(document))) == SPEC
    assert json.loads(json.dumps(document)) == document
