"""What to do next about each reason of the closed list, where the failure itself brings no better advice. Pure."""

from __future__ import annotations

from servo_emr.domain.errors import Reason

__all__ = ["next_step"]

_AGAIN = "These settings are not to blame: measure again. If it happens again, "
_NEXT: dict[Reason, str] = {
    Reason.SUCCESS: "Nothing.",
    Reason.UNKNOWN_SETTING: "Correct the setting's name; emr.components in servo.yaml has them.",
    Reason.OUT_OF_BOUNDS: "Stay within the bounds of emr.components in servo.yaml, or widen them.",
    Reason.LIMITS: "Raise the limit in servo.yaml, or narrow the bounds in emr.components.",
    Reason.TYPE_UNSUPPORTED: "Take the type out of emr.components in servo.yaml, or choose another release or zone.",
    Reason.OUT_OF_MEMORY: "Try primary nodes with more memory; the step's logs say more.",
    Reason.JOB_TIMEOUT: "Raise emr.job.timeout in servo.yaml, or leave such small clusters out.",
    Reason.COST_CEILING: "Raise emr.limits.cost_per_run, or keep such clusters out of emr.components.",
    Reason.CAPACITY: f"{_AGAIN}try other types, zones, or a later time.",
    Reason.QUOTA: "Ask for a higher quota in Service Quotas, or lower emr.limits.vcpus.",
    Reason.SPOT: f"{_AGAIN}raise bid_price, or set market: on-demand.",
    Reason.BOOTSTRAP: "Read the bootstrap action's log; without a way to the package index, set emr.job.wheels.",
    Reason.THROTTLED: f"{_AGAIN}look at what else in the account calls EMR much.",
    Reason.ENDPOINT: f"{_AGAIN}check network, proxy, region and AWS_ENDPOINT_URL.",
    Reason.SERVICE_INTERNAL: f"{_AGAIN}ask AWS's support, with the cluster's id.",
    Reason.INSTANCE_LOST: f"{_AGAIN}look at the instances in the EC2 console.",
    Reason.INTERRUPTED: "Somebody ended the step or the cluster: ask who, then measure again.",
    Reason.CELL_ERROR: "Open the executed notebook (`servo-emr open RUN`) and mend the cell.",
    Reason.STEP_FAILED: "Read the step's logs (`servo-emr logs RUN`).",
    Reason.NO_RESULT: "Read the step's logs (`servo-emr logs RUN`): they say why result.json was not written.",
    Reason.BAD_METRIC: "Correct emr.job.metrics in servo.yaml, or what the job reports.",
    Reason.CREDENTIALS: "Give the servo's identity what `servo-emr policy` prints, or renew its credentials.",
    Reason.ROLE: "Check emr.cluster.service_role and instance_profile: `servo-emr check` says what is wrong with them.",
    Reason.NETWORK: "Check emr.cluster.subnet_ids: `servo-emr check` says what is wrong with them.",
    Reason.RELEASE_LABEL: "Correct emr.cluster.release_label; `aws emr list-release-labels` shows them.",
    Reason.BUCKET: "Make the bucket, or correct its name and region in servo.yaml.",
    Reason.NOTEBOOK: "Correct emr.job in servo.yaml, or the notebook or program that it names.",
    Reason.PRICE: "Pin the price in emr.prices.overrides; `servo-emr prices` shows where each one is from.",
    Reason.USERDATA: "Correct control.userdata.emr at the optimizer: parameters, deadline_s, max_cost_usd.",
    Reason.LEASE: "Let only one servo drive a workspace: stop the other, or use another workspace.",
    Reason.BUDGET: "Wait, or raise emr.limits.spend_per_day.",
    Reason.BREAKER: "Look at `servo-emr runs`, mend the cause, then say `servo-emr resume`.",
    Reason.UNRELEASED: "End the cluster by hand with the command above, then say `servo-emr sweep`.",
    Reason.BUG: "Please report it, with the traceback.",
    Reason.DEADLINE: "Nothing: the trial's own deadline_s ended it, and its figures are lower bounds.",
    Reason.MAX_COST: "Nothing: the trial's own max_cost_usd ended it, and its figures are lower bounds.",
    Reason.SHUTDOWN: "Start the servo again: it verifies the end of the cluster.",
}


def next_step(reason: Reason) -> str:
    """The advice for a reason, a sentence or two."""
    return _NEXT[reason]
