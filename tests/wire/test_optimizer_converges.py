"""The bundled optimizer and a real servo on an emulated account whose jobs take a table's times: it finds the best."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest

from tests.support.bundled import Play, Theatre, theatre

# Seconds of the job; on one small node of c5 it runs out of memory.
TABLE = [
    ("m5.xlarge", 1, 5400.0),
    ("m5.xlarge", 2, 3000.0),
    ("m5.xlarge", 3, 2200.0),
    ("c5.xlarge", 1, None),
    ("c5.xlarge", 2, 2000.0),
    ("c5.xlarge", 3, 1100.0),
]
SMALL = {"components.core.replicas": {"min": 1, "max": 3, "value": 2}}
BEST = {"primary.inst_type": "m5.xlarge", "core.inst_type": "c5.xlarge", "core.replicas": 3}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    with theatre(tmp_path_factory.mktemp("theatre"), TABLE) as found:
        yield found


@pytest.fixture(scope="module")
def play(stage: Theatre, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    with stage.play(tmp_path_factory.mktemp("converges"), "converges", changes=SMALL) as found:
        found.settled()
        yield found


def test_it_finds_the_cheapest_measures_it_again_and_leaves_it_applied(play: Play) -> None:
    status = play.optimizer.status()
    assert status["best"]["settings"] == BEST
    assert status["best"]["confirmed"]
    applied = play.relay.commands("ADJUST")[-1]["param"]["state"]["application"]["components"]["core"]["settings"]
    assert {name: setting["value"] for name, setting in applied.items()} == {"inst_type": "c5.xlarge", "replicas": 3}
    assert status["trials"][0]["kind"] == "baseline"
    assert status["saving"]["usd_per_run"] > 0


def test_trials_launches_and_dollars_agree_with_the_account(play: Play) -> None:
    status = play.optimizer.status()
    assert play.wrong(status) == []
    launched = [trial for trial in status["trials"] if trial["run_id"]]
    assert len(play.clusters()) == len(launched) == status["runs"]
    assert len(play.relay.commands("MEASURE")) == len(launched)


def test_the_study_is_one_that_optuna_opens(play: Play) -> None:
    study = optuna.load_study(study_name="example.com/nightly", storage=play.optimizer.storage)
    status = play.optimizer.status()
    assert len(study.trials) == len(status["trials"])
    assert study.best_trial.params == {"core.inst_type": "c5.xlarge", "core.replicas": 3}
    assert study.best_value == pytest.approx(min(trial["cost_usd"] or 9 for trial in status["trials"]))
    attributes = study.best_trial.user_attrs
    assert attributes["settings"] == BEST
    assert {"reason", "run_id", "cost_usd", "why", "state"} <= attributes.keys()
    assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "FAIL", "PRUNED"}
