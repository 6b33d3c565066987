"""Which versions `make lowest` takes: the bounds that pyproject.toml states."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from tools.try_environment import direct, lower_bounds, project


def test_every_dependency_states_one_lower_bound_and_of_two_the_higher_holds() -> None:
    found = lower_bounds(direct(project()))
    assert {"servox", "boto3", "moto", "pytest", "optuna"} <= found.keys()
    assert "servo-emr" not in found
    pair = [Requirement("One>=1.9"), Requirement("one>=1.10,<2"), Requirement("two~=3.1")]
    assert lower_bounds(pair) == {"one": "1.10", "two": "3.1"}


@pytest.mark.parametrize("text", ["one", "one<2", "one!=1.0"])
def test_a_dependency_without_a_lower_bound_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"{text}.* states no lower bound"):
        lower_bounds([Requirement(text)])
