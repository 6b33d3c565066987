"""`servo run` when the environment, a limit or a person ends a run: who is told what, and that no cluster is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.aws import Account
from tests.support.conversation import Conversation, converse
from tests.support.emulator import EmulatorProcess
from tests.support.optimizer import adjust, describe, measure
from tests.support.servo import until

# Its steps take days of W, so that W goes on while a notebook sleeps.
LAW = ("--model", "a=1000000,b=0,c=0,d=0")
SLEEPING = {"parameters": {"mode": "sleep"}}
# Days of W: a notebook that sleeps is ended by what the test does, and by nothing else.
ENDLESS = {"job.timeout": "400h", "job.expected_duration": "1h"}


@pytest.fixture(scope="module")
def talk(
    tmp_path_factory: pytest.TempPathFactory, emulator: EmulatorProcess, account: Account
) -> Callable[..., Conversation]:
    """`converse` in a folder and a workspace of its own, both named `name`."""

    def talk(name: str, script: Any, changes: dict[str, Any], meanwhile: Any = None) -> Conversation:
        everything = {"workspace": f"s3://acme-servo/{name}", **changes}
        return converse(tmp_path_factory.mktemp(name), emulator, account, script, everything, meanwhile)

    return talk


def sleeping_cluster(account: Account) -> str:
    """The id of the one cluster alive, once its notebook has told of its first progress."""

    def found() -> str | None:
        for cluster_id in account.alive():
            folder = account.step(cluster_id)["Config"]["Args"][-1].removesuffix("/job.json")
            if "progress.json" in account.keys(folder):
                return cluster_id
        return None

    return str(until("a notebook runs", found))


@pytest.fixture(scope="module")
def ended(talk: Callable[..., Conversation], account: Account) -> Conversation:
    """Runs that a person, or the trial's own limit, ends while the notebook sleeps."""

    def cancel_step() -> None:
        cluster_id = sleeping_cluster(account)
        account["emr"].cancel_steps(ClusterId=cluster_id, StepIds=[account.step(cluster_id)["Id"]])

    def terminate() -> None:
        account["emr"].terminate_job_flows(JobFlowIds=[sleeping_cluster(account)])

    script = {
        "step cancelled": measure([], SLEEPING),
        "cluster terminated": measure([], SLEEPING),
        "deadline": measure([], {**SLEEPING, "deadline_s": 200}),
    }
    return talk("ended", script, ENDLESS, {"step cancelled": cancel_step, "cluster terminated": terminate})


@pytest.fixture(scope="module")
def ceiling(talk: Callable[..., Conversation]) -> Conversation:
    # 0.72 USD an hour: 0.096 is provisioning and a minute, and below 0.12 nothing could have run for long.
    return talk("ceiling", {"run": measure([], SLEEPING)}, {**ENDLESS, "limits.cost_per_run": 0.13})


@pytest.fixture(scope="module")
def limits(talk: Callable[..., Conversation], account: Account) -> Conversation:
    """Adjustments that servo.yaml's limits, or EMR and EC2 themselves, do not allow."""
    subnets = account["ec2"].describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1a"]}])
    types = ["m5.xlarge", "m5.2xlarge", "r5d.4xlarge", "c5.large"]
    changes = {
        "components.core.inst_type": {"values": types, "value": "m5.xlarge"},
        "limits.nodes": 4,
        "limits.vcpus": 20,
        "limits.cost_per_hour": 1.5,
        "prices": {"overrides": {"c5.large": {"ec2": 0.085, "fee": 0.021}}},
        "cluster.subnet_ids": [subnets["Subnets"][0]["SubnetId"]],
    }
    script = {
        "nodes": adjust({"core.replicas": 5}),
        "vcpus": adjust({"core.inst_type": "m5.2xlarge", "core.replicas": 3}),
        "cost_per_hour": adjust({"core.inst_type": "r5d.4xlarge", "core.replicas": 1}),
        "unsupported type": adjust({"core.inst_type": "c5.large"}),
        "afterwards": describe(),
    }
    return talk("limits", script, changes)


@pytest.fixture(scope="module")
def zone(talk: Callable[..., Conversation], account: Account) -> Conversation:
    """The one subnet is in a zone where EC2 offers no m5.xlarge."""
    subnets = account["ec2"].describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["us-east-1e"]}])
    changes = {"cluster.subnet_ids": [subnets["Subnets"][0]["SubnetId"]]}
    return talk("zone", {"adjust": adjust({"core.replicas": 1}), "measure": measure()}, changes)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["step cancelled", "cluster terminated"])
def test_a_run_that_a_person_ends_is_a_failure_of_the_environment(ended: Conversation, name: str) -> None:
    turn = ended[name]
    assert turn.outcome == ("failed", "environment/interrupted")
    assert turn.run_job_flows == len(turn.launched) == 1
    assert turn.alive == []
    assert float(turn.last_line["cost_usd"]) > 0


@pytest.mark.nightly
def test_a_cancelled_step_is_on_record_as_cancelled(ended: Conversation, account: Account) -> None:
    record = account.record("s3://acme-servo/ended", ended["step cancelled"].run_id)
    assert [step["state"] for step in record["steps"]] == ["cancelled"]
    assert (record["verdict"], record["state"]) == ("environment", "verified")


@pytest.mark.nightly
def test_a_terminated_cluster_is_on_record_with_emrs_own_words(ended: Conversation, account: Account) -> None:
    record = account.record("s3://acme-servo/ended", ended["cluster terminated"].run_id)
    assert record["cause"]["code"] == "USER_REQUEST"
    assert "USER_REQUEST" in record["message"]


@pytest.mark.nightly
def test_a_trial_that_passes_its_own_deadline_is_cut_short(ended: Conversation) -> None:
    turn = ended["deadline"]
    assert turn.outcome == ("failed", "deadline")
    assert float(turn.last_line["duration_s"]) > 200
    assert turn.alive == []


def test_a_run_that_passes_the_cost_ceiling_is_ended_and_never_tried_again(
    ceiling: Conversation, account: Account
) -> None:
    turn = ceiling["run"]
    assert turn.outcome == ("rejected", "configuration/cost-ceiling")
    assert turn.alive == []
    status = account["emr"].describe_cluster(ClusterId=turn.launched[0])["Cluster"]["Status"]
    assert status["StateChangeReason"]["Code"] == "USER_REQUEST"
    # The ceiling is asked with the whole cluster's rate from the launch; the bill is never more than that.
    record = account.record("s3://acme-servo/ceiling", turn.run_id)
    assert 0 < float(turn.last_line["cost_usd"]) == pytest.approx(record["cost"]["usd"], abs=0.00006)


@pytest.mark.parametrize("name", ["nodes", "vcpus", "cost_per_hour"])
def test_a_cluster_beyond_a_limit_is_refused_when_it_is_adjusted(limits: Conversation, name: str) -> None:
    turn = limits[name]
    assert turn.outcome == ("rejected", "configuration/limits")
    assert turn.answer["message"] == (
        f"configuration/limits: {name} above its limit\nrun=none cost_usd=0.0000 duration_s=none"
    )
    assert turn.launched == []


def test_a_type_that_the_release_does_not_support_is_rejected(limits: Conversation) -> None:
    turn = limits["unsupported type"]
    assert turn.outcome == ("rejected", "configuration/type-unsupported")
    assert turn.launched == []


def test_what_a_limit_refused_was_not_staged(limits: Conversation) -> None:
    settings = limits["afterwards"].answer["descriptor"]["application"]["components"]["core"]["settings"]
    assert (settings["inst_type"]["value"], settings["replicas"]["value"]) == ("m5.xlarge", 2)


@pytest.mark.parametrize("name", ["adjust", "measure"])
def test_a_type_that_no_configured_zone_offers_is_rejected_by_both(zone: Conversation, name: str) -> None:
    turn = zone[name]
    assert turn.outcome == ("rejected", "configuration/type-unsupported")
    assert (turn.launched, turn.run_job_flows) == ([], 0)
