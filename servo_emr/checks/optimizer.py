"""Whether servox knows whom to speak to. Of no concern to `servo-emr`, which needs no optimizer; pure."""

from __future__ import annotations

from servo_emr.checks.result import Checked, passed, warned

__all__ = ["PLACEHOLDER", "of_optimizer"]

PLACEHOLDER = "generated-id.test/generated"
"""The id that `servo generate` writes. A section `optimizer:` beats OPSANI_* in the environment, this one too."""

_NAME = "optimizer"
_REMEDY = (
    "Set OPSANI_OPTIMIZER, OPSANI_TOKEN and OPSANI_BASE_URL, or fill in optimizer: {id, token}. "
    "`servo-emr` needs none, `servo` does."
)


def of_optimizer(named: str | None) -> Checked:
    """What is to be said of the optimizer's id; None: there is none."""
    if named is None:
        return warned(_NAME, "neither servo.yaml nor OPSANI_OPTIMIZER names one", _REMEDY)
    if named == PLACEHOLDER:
        finding = "it is the placeholder of `servo generate`, which beats OPSANI_* in the environment"
        return warned(_NAME, finding, f"Take the section optimizer: out of servo.yaml. {_REMEDY}")
    return passed(_NAME, named)
