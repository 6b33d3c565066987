"""The optimizer's conversation with a servo, message by message, over a study in memory and a clock moved by hand."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from servo_emr.optimizer.create_cluster import create_cluster
from servo_emr.optimizer.flow import ATTEMPTS
from servo_emr.optimizer.instances import packaged
from servo_emr.optimizer.limits import Limits
from servo_emr.optimizer.peers import Peer
from servo_emr.optimizer.search import Objective, Observation, Search, Space
from servo_emr.optimizer.status import status
from tests.support.search import DESCRIPTION, SETTINGS, Bench, ListSearch, state_after


@pytest.fixture
def bench() -> Bench:
    found = Bench()
    found.describe()
    return found


def is_sleep(command: Any) -> bool:
    return bool(command["cmd"] == "SLEEP")


def test_a_servo_is_asked_to_describe_then_to_set_and_to_measure_what_is_set_now(bench: Bench) -> None:
    adjust = bench.next()
    core = adjust["param"]["state"]["application"]["components"]
    assert core == {"core": {"settings": {"inst_type": {"value": "m5.xlarge"}, "replicas": {"value": 2}}}}
    assert adjust["param"]["control"] == {}
    bench.post("ADJUSTMENT", status="ok", state=state_after(adjust), cmd_uid=adjust["cmd_uid"])
    measure = bench.next()
    assert measure["cmd"] == "MEASURE"
    assert measure["param"]["metrics"] == ["cost", "duration", "billed_cost"]
    assert measure["param"]["control"] == {"duration": 0, "past": 0, "warmup": 0}
    assert bench.flow.study.trials[0].plan.kind == "baseline"


def test_every_sleep_has_data_and_lasts_at_least_a_tenth_of_a_second(bench: Bench) -> None:
    sleep = bench.until(is_sleep)
    assert sleep["param"]["data"]["reason"]
    assert 0.1 <= sleep["param"]["duration"] <= 60
    assert "cmd_uid" not in sleep


def test_a_command_is_outstanding_until_its_result(bench: Bench) -> None:
    assert bench.next() == bench.next()
    measure = bench.adjusted()
    assert bench.next() == measure
    assert len(bench.flow.study.trials) == 1


def test_hello_makes_it_lost_and_it_is_issued_again_under_another_uid(bench: Bench) -> None:
    measure = bench.adjusted()
    bench.post("HELLO")
    again = bench.next()
    assert again["cmd_uid"] != measure["cmd_uid"]
    assert again["param"] == measure["param"]
    assert bench.next() == again


@pytest.mark.parametrize("answered", [0, 1])
def test_whichever_uid_is_answered_first_ends_the_trial_and_the_other_answer_is_paid_for(
    bench: Bench, answered: int
) -> None:
    commands = [bench.adjusted()]
    bench.post("HELLO")
    commands.append(bench.next())
    bench.answer(commands[answered], 0.5)
    for _ in range(2):  # the second time because the first answer to it was lost
        bench.answer(commands[1 - answered], 0.25)
        bench.answer(commands[answered], 0.5)
    assert bench.states == ["done"]
    assert bench.flow.study.trials[0].spent_usd == 0.5
    assert bench.flow.study.recall("late") == {commands[1 - answered]["cmd_uid"]: 0.25}


def test_progress_is_answered_ok_whoever_it_is_of(bench: Bench) -> None:
    measure = bench.adjusted()
    report = {"progress": 5.0, "runtime": 1.0, "message": "run r-1: running, 60 s, 0.0200 USD so far\n"}
    assert bench.post("MEASUREMENT", cmd_uid=measure["cmd_uid"], **report) == {"status": "ok"}
    assert bench.flow.latest is not None
    assert (bench.flow.latest.phase, bench.flow.latest.usd) == ("running", 0.02)
    bench.answer(measure, 0.5)
    assert bench.post("MEASUREMENT", cmd_uid=measure["cmd_uid"], **report) == {"status": "ok"}
    assert bench.post("MEASUREMENT", cmd_uid="never-issued", **report) == {"status": "ok"}
    assert bench.flow.latest is None


def test_a_rejected_adjustment_is_infeasible_at_no_cost_and_nothing_is_measured(bench: Bench) -> None:
    bench.measured(1.0)
    bench.fail(bench.next(), "configuration/limits", status="rejected")
    assert bench.states == ["done", "infeasible"]
    assert bench.flow.study.trials[1].spent_usd == 0.0
    assert bench.flow.policy.spent().runs == 1
    assert bench.next()["cmd"] == "ADJUST"


def test_an_adjustment_that_set_something_else_is_not_measured(bench: Bench) -> None:
    adjust = bench.next()
    state = state_after(adjust)
    state["application"]["components"]["core"]["settings"]["replicas"]["value"] = 5
    bench.post("ADJUSTMENT", status="ok", state=state, cmd_uid=adjust["cmd_uid"])
    (trial,) = bench.flow.study.trials
    assert trial.outcome is not None
    assert (trial.outcome.state, trial.outcome.reason) == ("infeasible", "not-applied")
    assert "core.replicas=5" in trial.outcome.message


def test_a_failure_of_the_environment_is_asked_again_and_consumes_no_suggestion(bench: Bench) -> None:
    bench.failed("environment/capacity", 0.02)
    asked = len(bench.search.asked)
    bench.failed("environment/spot", 0.03)
    bench.measured(0.5)
    (trial,) = bench.flow.study.trials
    assert trial.outcome is not None
    assert (trial.outcome.state, len(trial.attempts)) == ("done", 2)
    assert trial.spent_usd == pytest.approx(0.55)
    assert len(bench.search.asked) == asked


def test_an_adjustment_that_the_environment_did_not_let_through_is_asked_again_after_a_minute(bench: Bench) -> None:
    bench.fail(bench.next(), "environment/throttled")
    sleep = bench.next()
    assert (sleep["cmd"], sleep["param"]["duration"]) == ("SLEEP", 60.0)
    bench.time += 60
    bench.measured(1.0)
    assert bench.states == ["done"]


def test_the_best_is_applied_again_after_a_minute_when_it_could_not_be(bench: Bench) -> None:
    def applies(command: Any) -> bool:
        return bool(command["cmd"] == "ADJUST" and bench.flow.study.running is None)

    apply = bench.until(applies)
    bench.fail(apply, "environment/endpoint")
    assert is_sleep(bench.next())
    bench.time += 60
    again = bench.next()
    assert again["param"] == apply["param"]
    bench.post("ADJUSTMENT", status="ok", state=state_after(again), cmd_uid=again["cmd_uid"])
    assert is_sleep(bench.next())
    assert bench.flow.policy.phase["applied"]


def test_it_is_asked_so_often_and_no_more_and_two_of_them_wait_for_a_person(bench: Bench) -> None:
    bench.measured(1.0)
    for _ in range(ATTEMPTS):
        bench.failed("environment/capacity", 0.01)
    assert bench.states == ["done", "failed"]
    assert bench.flow.study.trials[1].spent_usd == pytest.approx(0.01 * ATTEMPTS)
    for _ in range(ATTEMPTS):
        bench.failed("environment/quota")
    assert "could not be run" in bench.next()["param"]["data"]["reason"]
    assert bench.flow.policy.stopped is not None


def test_a_baseline_that_fails_for_the_operators_reasons_stops_with_the_diagnosis(bench: Bench) -> None:
    bench.failed("operator/role", 0.0)
    sleep = bench.next()
    assert sleep["cmd"] == "SLEEP"
    assert "operator/role" in sleep["param"]["data"]["reason"]
    bench.time += 86400
    assert is_sleep(bench.next())
    assert bench.states == ["asked"]
    assert bench.flow.resume()
    bench.measured(1.0)
    assert bench.states == ["done"]


def test_a_servo_that_is_started_again_has_been_looked_after(bench: Bench) -> None:
    bench.failed("operator/bucket")
    assert is_sleep(bench.next())
    bench.post("HELLO")
    assert bench.next()["cmd"] == "ADJUST"


def test_what_passes_without_a_word_is_tried_again_after_an_hour(bench: Bench) -> None:
    bench.failed("operator/budget")
    bench.time += 3599
    assert is_sleep(bench.next())
    bench.time += 1
    assert bench.next()["cmd"] == "ADJUST"


def test_a_trial_cut_short_is_censored_by_the_limit_that_went_out_with_it() -> None:
    bench = Bench(ListSearch(deadline_s=700.0))
    bench.describe()
    bench.measured(1.0)
    measure = bench.adjusted()
    assert measure["param"]["control"]["userdata"] == {"emr": {"deadline_s": 700.0}}
    bench.fail(measure, "deadline", 0.4)
    observation = bench.flow.policy.observations()[1]
    assert (observation.outcome, observation.duration_s, observation.spent_usd) == ("censored", 700.0, 0.4)


def test_a_job_that_never_succeeds_waits_for_a_person(bench: Bench) -> None:
    for _ in range(4):
        bench.failed("job/cell-error", 0.1)
    assert "the job failed 4 times" in bench.next()["param"]["data"]["reason"]
    outcomes = [one.outcome for one in bench.flow.policy.observations()]
    assert outcomes[:2] == ["failed", "infeasible"], "the same settings are not tried a third time"


def test_a_measurement_without_a_cost_is_asked_again_and_no_cost_is_made_up(bench: Bench) -> None:
    measure = bench.adjusted()
    metrics = {"duration": {"unit": "s", "value": 100.0}, "cost": {"unit": "USD", "value": float("nan")}}
    bench.post("MEASUREMENT", status="ok", metrics=metrics, annotations={}, cmd_uid=measure["cmd_uid"])
    (trial,) = bench.flow.study.trials
    assert (trial.outcome, trial.attempts[0].reason) == (None, "incomplete")


def test_a_servo_that_was_stopped_is_asked_again_and_what_it_spent_counts(bench: Bench) -> None:
    bench.failed("shutdown", 0.07, status="aborted")
    bench.measured(0.5)
    assert bench.states == ["done"]
    assert bench.flow.study.trials[0].spent_usd == pytest.approx(0.57)


def test_a_cancelled_trial_is_told_with_the_next_report_and_never_asked_again(bench: Bench) -> None:
    measure = bench.adjusted()
    assert bench.flow.cancel("enough")
    report = {"progress": 5.0, "message": "run r-1: running, 60 s, 0.0200 USD so far"}
    told = bench.post("MEASUREMENT", cmd_uid=measure["cmd_uid"], **report)
    assert told == {"status": "cancel", "reason": "enough"}
    bench.post("MEASUREMENT", status="cancelled", message="enough", cmd_uid=measure["cmd_uid"])
    assert bench.states == ["cancelled"]
    assert bench.flow.study.trials[0].spent_usd == 0.02
    assert bench.flow.policy.observations()[0].outcome == "infeasible"
    assert not bench.flow.cancel("nothing runs")


def test_a_pause_lets_what_is_out_end_and_nothing_more_go_out(bench: Bench) -> None:
    measure = bench.adjusted()
    bench.flow.pause("lunch")
    bench.post("HELLO")
    assert bench.next()["param"] == measure["param"]
    bench.answer(measure, 0.5)
    assert is_sleep(bench.next())
    assert bench.flow.resume()
    assert bench.next()["cmd"] == "DESCRIBE", "the servo was started anew meanwhile"


def test_the_last_run_of_a_limit_measures_the_best_once_more() -> None:
    bench = Bench(limits=Limits(runs=3))
    bench.describe()
    bench.measured(1.0)
    bench.measured(0.5)
    bench.measured(0.5)
    assert [trial.plan.kind for trial in bench.flow.study.trials] == ["baseline", "explore", "confirm"]
    bench.next()
    assert "the limit is 3" in bench.flow.policy.phase["reason"]


def test_no_trial_may_pass_the_limit_of_dollars() -> None:
    bench = Bench(limits=Limits(usd=2.4))
    bench.describe()
    measure = bench.adjusted()
    assert measure["param"]["control"]["userdata"] == {"emr": {"max_cost_usd": 2.4}}
    bench.answer(measure, 1.0)
    measure = bench.adjusted()
    assert measure["param"]["control"]["userdata"] == {"emr": {"max_cost_usd": 1.4}}
    bench.answer(measure, 0.9)
    # 0.5 are left; the next trial is expected to cost just that, the best 0.9: neither fits.
    sleep = bench.until(is_sleep)
    assert bench.states == ["done", "done", "done"] or "limit" in sleep["param"]["data"]["reason"]
    assert sum(trial.spent_usd for trial in bench.flow.study.trials[:2]) == pytest.approx(1.9)


def test_hours_end_an_exploration_too() -> None:
    bench = Bench(limits=Limits(hours=2))
    bench.describe()
    bench.measured(1.0)
    bench.time += 7200
    bench.next()
    assert bench.flow.policy.phase["name"] == "settled"


def test_settled_it_applies_the_best_sleeps_and_looks_again_after_the_interval(bench: Bench) -> None:
    bench.until(is_sleep)
    phase = bench.flow.policy.phase
    assert (phase["name"], phase["applied"]) == ("settled", True)
    assert phase["best"]["settings"] == SETTINGS[3]
    trials = len(bench.flow.study.trials)
    bench.time += 3600
    bench.measured(0.7)
    assert bench.flow.study.trials[trials].plan.kind == "recheck"
    assert is_sleep(bench.next())


def test_one_measurement_that_differs_is_looked_at_again_and_two_explore_anew(bench: Bench) -> None:
    bench.until(is_sleep)
    bench.time += 3600
    bench.measured(0.7, 1500.0)
    assert bench.flow.policy.phase["name"] == "settled"
    bench.measured(0.7, 1500.0)
    assert bench.flow.policy.phase["name"] == "exploring"
    assert "duration went from 1000 to 1500 s" in bench.flow.policy.phase["because"]
    assert [one.duration_s for one in bench.flow.policy.observations()] == [1500.0, 1500.0]
    assert bench.next()["cmd"] == "DESCRIBE", "what is set now is the new baseline"


def test_an_outlier_alone_changes_nothing(bench: Bench) -> None:
    bench.until(is_sleep)
    bench.time += 3600
    bench.measured(0.7, 1500.0)
    bench.measured(0.7)
    assert (bench.flow.policy.phase["name"], bench.flow.policy.phase["suspect"]) == ("settled", None)


def test_another_notebook_explores_anew_at_once(bench: Bench) -> None:
    bench.measured(1.0, sha="a")
    bench.measured(0.9, sha="b")
    assert bench.flow.policy.phase["because"] == "the notebook has changed"
    assert [one.cost_usd for one in bench.flow.policy.observations()] == [0.9]


def test_the_description_is_asked_for_again_after_a_restart_of_the_servo_and_keeps_its_baseline(bench: Bench) -> None:
    bench.measured(1.0)
    bench.post("HELLO")
    command = bench.next()
    assert command["cmd"] == "DESCRIBE"
    moved = state_after({"param": {"state": DESCRIPTION}})
    moved["application"]["components"]["core"]["settings"]["replicas"]["value"] = 6
    bench.post("DESCRIPTION", status="ok", descriptor=moved, cmd_uid=command["cmd_uid"])
    descriptor = bench.flow.policy.descriptor
    assert descriptor is not None
    assert descriptor["application"]["components"]["core"]["settings"]["replicas"]["value"] == 2


@pytest.mark.parametrize(
    ("description", "why"),
    [
        ({}, "application"),
        ({"application": {"components": {}}}, "no settings"),
        ({**DESCRIPTION, "measurement": {"metrics": {"cost": {}}}}, "measures no duration"),
        ({**DESCRIPTION, "measurement": 7}, "measures no cost and no duration"),
    ],
)
def test_a_description_that_cannot_be_searched_is_told_and_the_servo_sleeps(
    description: dict[str, Any], why: str
) -> None:
    bench = Bench()
    bench.describe(description)
    assert why in bench.next()["param"]["data"]["reason"]
    bench.describe()
    assert bench.next()["cmd"] == "ADJUST"


def test_another_objective_or_limit_goes_on_exploring_with_what_is_known() -> None:
    bench = Bench(limits=Limits(runs=1))
    bench.describe()
    bench.measured(1.0)
    bench.until(is_sleep)
    wanted = Objective("fastest-under-price", price_usd=2.0)
    wider = Bench(limits=Limits(runs=3), objective=wanted, storage=bench.storage)
    wider.describe()
    wider.measured(0.8)
    assert [trial.number for trial in wider.flow.policy.trials()] == [0, 1]
    assert len(wider.flow.study.trials) == 2


MESSAGES = 17  # of a whole search of three trials: two for each command


@pytest.mark.parametrize("killed", range(MESSAGES))
def test_killed_after_any_message_it_goes_on_with_the_same_trials(killed: int) -> None:
    def search(kill: int | None) -> list[tuple[dict[str, Any], str, float]]:
        bench, count = Bench(ListSearch(SETTINGS[:2])), 0
        post = bench.post

        def counted(event: str, peer: Peer | None = None, **param: Any) -> dict[str, Any]:
            nonlocal count
            answer = post(event, peer, **param)
            if count == kill:
                bench.reopen()  # and nobody has heard the answer: the servo sends the same again
                answer = post(event, peer, **param)
                if answer.get("cmd") == "SLEEP" and "listened for" in answer["param"]["data"]["reason"]:
                    answer = post(event, peer, **param)
            count += 1
            return answer

        bench.post = counted  # type: ignore[method-assign]
        bench.until(is_sleep)
        trials = bench.flow.study.trials
        return [(dict(one.plan.settings), one.plan.kind, one.spent_usd) for one in trials]

    assert search(killed) == search(None)


def test_goodbye_leaves_the_command_to_the_next_servo(bench: Bench) -> None:
    measure = bench.adjusted()
    assert bench.post("GOODBYE", reason="SIGTERM") == {"status": "ok"}
    again = bench.next()
    assert again["cmd_uid"] != measure["cmd_uid"]
    assert again["param"] == measure["param"]


def test_an_unknown_event_is_told_so(bench: Bench) -> None:
    assert bench.post("FROBNICATE")["status"] == "unexpected-event"


def whole() -> Bench:
    """A bench with the real search, described."""

    def make(space: Space, seed: int) -> Search:
        return Search(space, Objective(), None, packaged(), seed)

    found = Bench(make=make)
    found.describe()
    return found


def test_a_job_that_breaks_once_its_best_was_measured_is_not_paid_for_without_end() -> None:
    bench = whole()
    bench.measured(1.0)
    launched = 0
    while not is_sleep(bench.next()):
        bench.failed("job/cell-error", 0.1)
        launched += 1
        assert launched < 10, "it goes on for ever"
    assert launched == 4
    assert "the job failed 4 times one after another" in str(bench.flow.policy.stopped)


@pytest.mark.parametrize("reason", ["configuration/out-of-memory", "job/timeout", "max-cost", "internal/bug"])
def test_a_search_that_measures_nothing_stops_for_a_person(reason: str) -> None:
    bench, launched = whole(), 0
    while not is_sleep(bench.next()):
        bench.failed(reason, 0.1)
        launched += 1
        assert launched <= 8, "it goes on for ever"
    stopped = bench.flow.policy.stopped
    assert stopped is not None and reason in stopped["reason"]
    assert launched == {"job/timeout": 4, "internal/bug": 2 * ATTEMPTS}.get(reason, 8)
    assert bench.flow.resume()
    assert bench.next()["cmd"] == "ADJUST", "a person may go on"


def test_measurements_without_a_cost_or_of_no_cost_end_before_a_person_too() -> None:
    bench = whole()
    for _ in range(2 * ATTEMPTS):
        bench.answer(bench.adjusted(), 0.0)
    assert [trial.outcome.reason for trial in bench.flow.study.trials if trial.outcome] == ["incomplete"] * 2
    assert is_sleep(bench.next())


def test_a_number_too_large_for_arithmetic_is_no_measurement(bench: Bench) -> None:
    bench.answer(bench.adjusted(), 10**400)
    assert bench.flow.study.trials[0].attempts[0].reason == "incomplete"


class Broken(ListSearch):
    def suggest(self, observations: Sequence[Observation]) -> Any:
        raise ZeroDivisionError("a flaw")


def test_a_flaw_of_the_optimizer_lets_the_servo_sleep_and_is_shown() -> None:
    bench = Bench(Broken())
    bench.describe()
    sleep = bench.next()
    assert is_sleep(sleep)
    assert sleep["param"]["data"] == {"reason": "the optimizer failed; its log says how"}
    shown = status(bench.flow, create_cluster)
    assert (shown["state"], shown["why"]) == ("stopped", "the optimizer failed; its log says how")


def narrowed(most: int) -> dict[str, Any]:
    found = copy.deepcopy(DESCRIPTION)
    core = found["application"]["components"]["core"]["settings"]
    core["inst_type"]["values"], core["replicas"]["max"] = ["m5.xlarge"], most
    return found


def test_a_best_outside_of_what_may_be_set_now_is_neither_tried_again_nor_recommended() -> None:
    bench = whole()
    for cost in (1.0, 0.9, 0.2):
        bench.measured(cost)
    outside = {str(one.plan.settings) for one in bench.flow.study.trials if not allowed(one.plan.settings)}
    assert outside, "something was tried that the narrower description does not allow"
    before = len(bench.flow.study.trials)
    bench.describe(narrowed(3))
    for _ in range(20):
        command = bench.next()
        if is_sleep(command):
            break
        if bench.flow.study.running is None:
            bench.post("ADJUSTMENT", status="ok", state=state_after(command), cmd_uid=command["cmd_uid"])
        else:
            bench.measured(0.5)
    assert is_sleep(command)
    assert all(allowed(one.plan.settings) for one in bench.flow.study.trials[before:])
    assert allowed(bench.flow.policy.phase["best"]["settings"])


def allowed(settings: Any) -> bool:
    return settings["core.inst_type"] == "m5.xlarge" and settings["core.replicas"] <= 3


def test_a_settled_study_explores_again_when_other_settings_may_be_tried(bench: Bench) -> None:
    bench.until(is_sleep)
    trials = len(bench.flow.policy.trials())
    bench.describe()
    assert bench.flow.policy.phase["name"] == "settled", "the same description changes nothing"
    bench.describe(narrowed(6))
    assert bench.flow.policy.phase["name"] == "exploring"
    assert len(bench.flow.policy.trials()) == trials, "and nothing that is known is lost"


def test_a_pause_between_adjustment_and_measurement_launches_nothing(bench: Bench) -> None:
    adjust = bench.next()
    bench.flow.pause("lunch")
    assert bench.next() == adjust, "what is out is waited for"
    bench.post("ADJUSTMENT", status="ok", state=state_after(adjust), cmd_uid=adjust["cmd_uid"])
    assert is_sleep(bench.next())
    bench.flow.resume()
    assert bench.next()["cmd"] == "MEASURE"


def test_a_pause_is_not_forgotten_for_another_reason_to_stop(bench: Bench) -> None:
    measure = bench.adjusted()
    bench.flow.pause("lunch")
    bench.fail(measure, "operator/role")
    bench.post("HELLO")
    assert bench.flow.policy.stopped is not None
    assert bench.flow.policy.stopped["reason"] == "paused"
    assert is_sleep(bench.next())


def test_a_pause_before_the_first_trial_outlives_a_kill(bench: Bench) -> None:
    bench.flow.pause("not yet")
    bench.reopen()
    bench.post("HELLO")
    assert is_sleep(bench.next())
    assert bench.flow.resume()
    bench.describe()
    bench.measured(1.0)
    bench.reopen()
    assert bench.states == ["done"]


def test_attempts_together_may_not_pass_the_limit_of_dollars() -> None:
    bench = Bench(limits=Limits(usd=1.0))
    bench.describe()
    bench.failed("environment/spot", 0.6)
    measure = bench.adjusted()
    assert measure["param"]["control"]["userdata"]["emr"]["max_cost_usd"] == pytest.approx(0.4)
    bench.fail(measure, "environment/spot", 0.4)
    assert bench.states == ["failed"], "nothing is left for a third attempt"


def test_a_second_answer_counts_towards_the_limit_of_dollars() -> None:
    bench = Bench(limits=Limits(usd=2.4))
    bench.describe()
    commands = [bench.adjusted()]
    bench.post("HELLO")
    commands.append(bench.next())
    for command in commands:
        bench.answer(command, 0.5)
    assert bench.flow.policy.spent().usd == pytest.approx(1.0)


@pytest.mark.parametrize("reason", ["environment/spot", "shutdown", "operator/role"])
def test_a_cancelled_trial_is_not_asked_again_whatever_ends_it_nor_after_a_kill(bench: Bench, reason: str) -> None:
    measure = bench.adjusted()
    assert bench.flow.cancel("enough")
    bench.reopen()
    told = bench.post("MEASUREMENT", cmd_uid=measure["cmd_uid"], progress=5.0, message="")
    assert told == {"status": "cancel", "reason": "enough"}
    bench.fail(measure, reason, 0.3)
    assert bench.states == ["cancelled"]
    assert bench.flow.study.trials[0].spent_usd == pytest.approx(0.3)


def test_a_restarted_optimizer_listens_for_who_is_at_a_run_before_another_servo_gets_it(bench: Bench) -> None:
    measure = bench.adjusted()
    at_work, idle = Peer(None, ("127.0.0.1", 1)), Peer(None, ("127.0.0.1", 2))
    bench.open_connections = {("127.0.0.1", 1), ("127.0.0.1", 2)}
    bench.reopen()
    sleep = bench.post("WHATS_NEXT", idle)
    assert (sleep["cmd"], sleep["param"]["duration"]) == ("SLEEP", 45.0)
    bench.post("MEASUREMENT", at_work, cmd_uid=measure["cmd_uid"], progress=5.0, message="")
    bench.time += 45
    assert is_sleep(bench.post("WHATS_NEXT", idle)), "the first servo is at it"
    assert len(bench.flow.study.trials[0].issued) == 2, "the adjustment's and the measurement's, and no other"


def test_with_nobody_at_the_run_it_is_asked_again_after_one_sleep(bench: Bench) -> None:
    measure = bench.adjusted()
    bench.reopen()
    bench.post("HELLO")
    assert is_sleep(bench.next())
    assert bench.next()["param"] == measure["param"]
