"""The search over made-up jobs in small spaces: what it tries, what it makes of failures and prices, when it stops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from servo_emr.optimizer.instances import packaged
from servo_emr.optimizer.prices import Prices, on_spot
from servo_emr.optimizer.search import Dimension, Objective, Observation, Search, Space, Stop, Suggestion
from servo_emr.optimizer.search.cluster import Cluster
from servo_emr.optimizer.search.dollars import learn

TYPES = ("c5.xlarge", "m5.xlarge", "r5.xlarge", "c5.2xlarge", "m5.2xlarge", "r5.2xlarge")
USD_PER_VCPU_HOUR = {"c5": 0.0525, "m5": 0.06, "r5": 0.07875}
PRICES = Prices({name: USD_PER_VCPU_HOUR[name[:2]] * packaged()[name].vcpus for name in TYPES})
COUNTS = (2, 3, 4, 6, 8, 12)
PROVISIONING_S = 400.0

Runtime = Callable[[int, float], float | None]
"""Seconds of a job on so many vCPUs with so many GiB; None: it cannot run."""


def scales_well(vcpus: int, gib: float) -> float:
    """Compute alone: the smallest cheap cluster is the cheapest, but for what provisioning costs."""
    return 60 + 20_000 / vcpus


def needs_memory(vcpus: int, gib: float) -> float:
    """Thrice as slow where its data does not fit."""
    return (60 + 20_000 / vcpus) * (1 if gib >= 128 else 3)


def dies_without_memory(vcpus: int, gib: float) -> float | None:
    return 60 + 20_000 / vcpus if gib >= 60 else None


def space(current: tuple[str, int] | None = None, **more: Dimension) -> Space:
    dimensions = Dimension("core.inst_type", "enum", TYPES), Dimension("core.replicas", "range", COUNTS), *more.values()
    set_now = None
    if current is not None:
        set_now = {"primary.inst_type": "m5.xlarge", "core.inst_type": current[0], "core.replicas": current[1]}
    return Space(dimensions, {"primary.inst_type": "m5.xlarge"}, set_now)


def usd(settings: Mapping[str, Any], seconds: float) -> float:
    hourly = PRICES.usd_per_hour[settings["core.inst_type"]] * settings["core.replicas"] + 0.24
    return hourly * (seconds + PROVISIONING_S) / 3600


def ran(runtime: Runtime, settings: Mapping[str, Any], limit: float | None = None, factor: float = 1.0) -> Observation:
    """What a trial of some settings tells; `factor` is its noise."""
    kind, count = packaged()[settings["core.inst_type"]], settings["core.replicas"]
    seconds = runtime(kind.vcpus * count, kind.memory_gib * count)
    if seconds is None:
        return Observation(settings, "infeasible", 90.0, None, usd(settings, 90.0))
    seconds *= factor
    if limit is not None and seconds > limit:
        return Observation(settings, "censored", limit, None, usd(settings, limit))
    cost = usd(settings, seconds)
    return Observation(settings, "done", seconds, cost, cost, {"provisioning": PROVISIONING_S})


def searched(
    search: Search, runtime: Runtime, noise: int | None = None
) -> tuple[list[Suggestion], list[Observation], Stop]:
    """A whole search, to its end; each trial obeys its deadline."""
    chance = np.random.default_rng(noise)
    suggestions, seen = list[Suggestion](), list[Observation]()
    while not isinstance(found := search.suggest(seen), Stop):
        factor = 1.0 if noise is None else float(np.exp(0.03 * chance.standard_normal()))
        suggestions.append(found)
        seen.append(ran(runtime, found.settings, found.deadline_s, factor))
        assert len(seen) < 45, "it does not end"
    return suggestions, seen, found


def cheapest(where: Space, runtime: Runtime) -> float:
    everything = [ran(runtime, where.settings(one)) for one in where.ground(np.random.default_rng(0), [])]
    return min(one.cost_usd for one in everything if one.cost_usd is not None)


@pytest.mark.parametrize("runtime", [scales_well, needs_memory, dies_without_memory])
def test_it_ends_near_the_cheapest_having_tried_a_part_of_the_space(runtime: Runtime) -> None:
    where = space(("m5.xlarge", 4))
    search = Search(where, Objective(), PRICES, packaged())
    suggestions, seen, _ = searched(search, runtime, noise=3)
    best = search.best(seen)
    assert best is not None and best.confirmed and best.repeats > 1
    assert usd(best.settings, ran(runtime, best.settings).duration_s or 0) <= 1.15 * cheapest(where, runtime)
    assert len(suggestions) <= where.size * 2 / 3
    assert suggestions[0].kind == "baseline"
    assert suggestions[-1].kind == "confirm"


def test_the_same_observations_get_the_same_answer_from_another_instance() -> None:
    where, seen = space(("m5.xlarge", 4)), list[Observation]()
    for _ in range(6):
        one, two = (Search(where, Objective(), PRICES, packaged(), seed).suggest(seen) for seed in (1, 2))
        assert isinstance(one, Suggestion)
        assert one == two
        seen.append(ran(needs_memory, one.settings))


def test_every_suggestion_is_within_the_space_and_new_unless_it_confirms() -> None:
    where = space(None, market=Dimension("core.disk", "enum", ("gp2", "gp3")))
    suggestions, _, _ = searched(Search(where, Objective(), PRICES, packaged()), scales_well)
    explored = [where.configuration(one.settings) for one in suggestions if one.kind != "confirm"]
    assert len(explored) == len(set(explored))
    for dimension, values in zip(where.dimensions, zip(*[one for one in explored if one], strict=True), strict=True):
        assert set(values) <= set(dimension.values)


def test_the_current_settings_come_first_and_again_when_the_environment_failed_them() -> None:
    where = space(("r5.xlarge", 6))
    search = Search(where, Objective(), PRICES, packaged())
    first = search.suggest([])
    assert isinstance(first, Suggestion)
    assert (first.kind, dict(first.settings)) == ("baseline", where.current)
    failed = Observation(first.settings, "failed")
    assert search.suggest([failed]) == first
    after = search.suggest([failed, failed])
    assert isinstance(after, Suggestion) and after.settings != first.settings


def test_without_current_settings_the_first_point_is_cheap() -> None:
    where = space()
    first = Search(where, Objective(), PRICES, packaged()).suggest([])
    assert isinstance(first, Suggestion) and first.kind == "initial"
    hourly = PRICES.usd_per_hour[str(first.settings["core.inst_type"])] * float(first.settings["core.replicas"])
    assert hourly <= 1.0


def test_what_cannot_run_for_want_of_memory_drives_it_to_more_memory() -> None:
    search, seen = Search(space(), Objective(), PRICES, packaged()), list[Observation]()
    memory = []
    for _ in range(5):
        found = search.suggest(seen)
        assert isinstance(found, Suggestion)
        seen.append(ran(dies_without_memory, found.settings))
        kind = packaged()[str(found.settings["core.inst_type"])]
        memory.append(kind.memory_gib * float(found.settings["core.replicas"]))
    assert any(one.outcome == "infeasible" for one in seen)
    assert max(memory[1:]) >= 60


def measured(where: Space, points: Sequence[tuple[str, int]], runtime: Runtime) -> list[Observation]:
    return [ran(runtime, where.settings(point)) for point in points]


def test_a_trial_has_a_limit_beyond_which_it_is_worth_nothing() -> None:
    where = space()
    seen = measured(where, [("c5.xlarge", 3), ("m5.2xlarge", 4), ("r5.xlarge", 4)], scales_well)
    search = Search(where, Objective(), PRICES, packaged())
    found, best = search.suggest(seen), search.best(seen)
    assert isinstance(found, Suggestion) and best is not None and best.cost_usd is not None
    assert found.deadline_s is not None and found.predicted_duration_s is not None
    assert usd(found.settings, found.deadline_s) == pytest.approx(1.5 * best.cost_usd, rel=0.02)
    assert found.predicted_cost_usd == pytest.approx(usd(found.settings, found.predicted_duration_s), rel=0.05)


def test_a_trial_that_was_cut_short_makes_its_neighbours_slower_and_is_not_repeated() -> None:
    where = space()
    seen = measured(where, [("c5.xlarge", 3), ("m5.2xlarge", 4)], scales_well)
    search = Search(where, Objective(), PRICES, packaged())
    cut = Observation(where.settings(("r5.2xlarge", 8)), "censored", 4000.0, None, 5.0)
    point = ("r5.2xlarge", 12)
    before, after = (predicted(search, where, one, point) for one in (seen, [*seen, cut]))
    assert after > 1.5 * before
    suggestions, _, _ = searched(search, scales_well)
    assert len({where.configuration(one.settings) for one in suggestions}) >= len(suggestions) - 3


def predicted(search: Search, where: Space, seen: Sequence[Observation], point: tuple[str, int]) -> float:
    """The runtime that is expected of a point, by way of a space in which it is all that is left."""
    listed = tuple(dict.fromkeys([*(where.configuration(one.settings) for one in seen), point]))
    narrow = Space(where.dimensions, where.constants, None, listed)  # type: ignore[arg-type]
    found = Search(narrow, Objective(runs_declared=10**12), PRICES, packaged()).suggest(seen)
    assert isinstance(found, Suggestion) and found.predicted_duration_s is not None
    assert narrow.configuration(found.settings) == point
    return found.predicted_duration_s


def test_fewer_future_runs_end_the_search_sooner() -> None:
    lengths = []
    for declared in (1, 1000):
        search = Search(space(("m5.xlarge", 4)), Objective(runs_declared=declared), PRICES, packaged())
        suggestions, _, stop = searched(search, needs_memory)
        lengths.append(len(suggestions))
        assert stop.reason
    assert lengths[0] < lengths[1]
    assert lengths[0] <= 4


def test_dollars_are_learned_from_the_bills_where_no_price_is_given() -> None:
    where = space(("m5.xlarge", 4))
    search = Search(where, Objective(), None, packaged())
    _, seen, _ = searched(search, needs_memory)
    best = search.best(seen)
    assert best is not None and best.cost_usd is not None
    assert best.cost_usd <= 1.2 * cheapest(where, needs_memory)


def test_a_deadline_is_met_by_what_is_declared_the_cheapest() -> None:
    where = space(("m5.xlarge", 4))
    search = Search(where, Objective("cheapest-under-deadline", deadline_s=500.0), PRICES, packaged())
    _, seen, _ = searched(search, scales_well)
    best = search.best(seen)
    assert best is not None and best.duration_s <= 500.0
    assert search.best(measured(where, [("c5.xlarge", 2)], scales_well)) is None


def test_a_price_is_kept_by_what_is_declared_the_fastest() -> None:
    where = space(("m5.xlarge", 4))
    search = Search(where, Objective("fastest-under-price", price_usd=0.6), PRICES, packaged())
    _, seen, _ = searched(search, scales_well)
    best = search.best(seen)
    assert best is not None and best.cost_usd is not None and best.cost_usd <= 0.6
    everything = [ran(scales_well, where.settings(one)) for one in where.ground(np.random.default_rng(0), [])]
    quickest = min(one.duration_s or 0 for one in everything if one.cost_usd is not None and one.cost_usd <= 0.6)
    assert best.duration_s <= 1.15 * quickest


@pytest.mark.parametrize(
    ("kind", "bounds"),
    [("cheapest-under-deadline", {}), ("fastest-under-price", {}), ("cheapest", {"runs_declared": 0})],
)
def test_an_objective_without_its_bound_is_refused(kind: Any, bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"needs|positive"):
        Objective(kind, **bounds)


def test_a_lucky_measurement_is_not_declared_the_winner_unseen() -> None:
    where = space(("m5.xlarge", 4))
    settled, lucky = where.settings(("c5.xlarge", 3)), where.settings(("c5.xlarge", 4))
    search = Search(where, Objective(), PRICES, packaged())
    seen = [ran(scales_well, settled), ran(scales_well, settled)]
    cost = seen[0].cost_usd or 0.0
    by_luck = Observation(lucky, "done", 1000.0, cost * 0.98, cost, {})
    best = search.best([*seen, by_luck])
    assert best is not None and dict(best.settings) == settled
    better = search.best([*seen, Observation(lucky, "done", 1000.0, cost * 0.9, cost, {})])
    assert better is not None and dict(better.settings) == lucky and not better.confirmed


def test_one_disturbed_repeat_does_not_cost_the_best_its_place() -> None:
    where = space()
    settings = where.settings(("c5.xlarge", 3))
    search = Search(where, Objective(), PRICES, packaged())
    seen = [ran(scales_well, settings), ran(scales_well, settings, None, 1.6)]
    best = search.best(seen)
    assert best is not None and best.duration_s == seen[0].duration_s
    assert not best.confirmed
    again = search.confirm(seen)
    assert again is not None and again.settings == settings
    assert search.confirm([*seen, ran(scales_well, settings, None, 1.02)]) is None


def test_a_type_of_which_nothing_is_known_is_tried_like_any_other() -> None:
    dimensions = (
        Dimension("core.inst_type", "enum", ("zz9.odd", "c5.xlarge")),
        Dimension("core.replicas", "range", COUNTS),
    )
    search = Search(Space(dimensions), Objective(runs_declared=10**9), None, packaged())
    seen = list[Observation]()
    for _ in range(12):
        found = search.suggest(seen)
        if isinstance(found, Stop):
            break
        seconds = 1000.0 / float(found.settings["core.replicas"]) + 50
        seen.append(Observation(found.settings, "done", seconds, 0.1 + seconds / 10_000, 0.1))
    assert {one.settings["core.inst_type"] for one in seen} == {"zz9.odd", "c5.xlarge"}


def test_a_space_without_clusters_is_searched_by_its_settings() -> None:
    dimension = Dimension("spark.partitions", "range", tuple(range(10, 200, 10)))
    search = Search(Space((dimension,)), Objective(), None, packaged())
    seen = list[Observation]()
    while not isinstance(found := search.suggest(seen), Stop):
        seconds = 100.0 + abs(float(found.settings["spark.partitions"]) - 120)
        seen.append(Observation(found.settings, "done", seconds, seconds / 100, seconds / 100, {"provisioning": 0.0}))
        assert len(seen) < 40
    best = search.best(seen)
    assert best is not None and 80 <= float(best.settings["spark.partitions"]) <= 160


def test_the_best_is_not_confirmed_for_ever_when_it_fails() -> None:
    where = space(("m5.xlarge", 4))
    search = Search(where, Objective(), PRICES, packaged())
    best = ran(scales_well, where.current or {})
    assert search.confirm([best]) is not None
    failed = [Observation(best.settings, "failed"), Observation(best.settings, "infeasible")]
    assert search.confirm([best, failed[0]]) is not None
    assert search.confirm([best, *failed]) is None


def test_a_leader_that_may_not_be_set_any_more_is_not_the_best() -> None:
    wide = space(("m5.xlarge", 4))
    kinds, counts = wide.dimensions
    narrow = Space((kinds, Dimension(counts.selector, "range", counts.values[:3])), wide.constants, wide.current)
    seen = [ran(scales_well, wide.settings(one)) for one in (("m5.xlarge", 4), ("c5.xlarge", 12))]
    seen[1] = Observation(seen[1].settings, "done", 10.0, 0.001, 0.001)
    assert getattr(Search(wide, Objective(), PRICES, packaged()).best(seen), "settings", None) == seen[1].settings
    search = Search(narrow, Objective(), PRICES, packaged())
    assert getattr(search.best(seen), "settings", None) == seen[0].settings
    while not isinstance(found := search.suggest(seen), Stop):
        assert found.settings["core.replicas"] <= 4
        seen.append(ran(scales_well, found.settings))
        assert len(seen) < 45, "it does not end"


def test_in_a_large_space_what_is_weighed_lies_around_the_best_by_the_objective() -> None:
    counts = tuple(range(1, 201))
    where = Space((Dimension("core.inst_type", "enum", TYPES), Dimension("core.replicas", "range", counts)))
    rated = Prices({**PRICES.usd_per_hour, "m5.xlarge": 0.24})
    seen = [
        Observation(where.settings((TYPES[number % 6], number)), "done", 4000.0 - 10 * number, 0.01 * number)
        for number in range(20, 200)
    ]
    weighed = Search(where, Objective(), rated, packaged())._ground(seen).rows
    assert set(where.neighbours((TYPES[20 % 6], 20))) <= set(weighed), "the cheapest, though it is the slowest"
    assert len(weighed) == 600


def test_a_large_space_is_searched_on_when_more_were_tried_than_are_weighed_at_a_time() -> None:
    counts = tuple(range(1, 121))
    where = Space((Dimension("core.inst_type", "enum", TYPES), Dimension("core.replicas", "range", counts)))
    rated = Prices({**PRICES.usd_per_hour})
    tried = [(kind, count) for count in counts for kind in TYPES][:610]
    seen = [Observation(where.settings(one), "infeasible", 90.0, None, 0.1) for one in tried[:-1]]
    seen.append(Observation(where.settings(tried[-1]), "done", 500.0, 9.0, 9.0))
    found = Search(where, Objective(runs_declared=10**9), rated, packaged()).suggest(seen)
    assert isinstance(found, Suggestion)
    assert where.configuration(found.settings) not in tried


def test_one_type_without_a_price_leaves_the_others_theirs() -> None:
    where = space(("m5.xlarge", 4))
    clusters = [Cluster.of(where.settings((kind, 4)), packaged()) for kind in TYPES]
    given = {name: usd for name, usd in PRICES.usd_per_hour.items() if name != "r5.xlarge"}
    whole, part = (learn(clusters, packaged(), prices, []) for prices in (PRICES, Prices(given)))
    others = [place for place, kind in enumerate(TYPES) if kind != "r5.xlarge"]
    assert part.log2_rate[others] == pytest.approx(whole.log2_rate[others])
    assert part.sd[others] == pytest.approx(whole.sd[others])
    unpriced = TYPES.index("r5.xlarge")
    assert part.sd[unpriced] > whole.sd[unpriced]


def test_of_nodes_whose_market_is_a_setting_each_market_s_price_is_known_before_it_was_tried() -> None:
    rated = Prices({**PRICES.usd_per_hour, **{on_spot(name): 0.4 * usd for name, usd in PRICES.usd_per_hour.items()}})
    settings = {"primary.inst_type": "m5.xlarge", "core.inst_type": "c5.xlarge", "core.replicas": 4}
    both = [Cluster.of({**settings, "core.market": market}, packaged()) for market in ("on-demand", "spot")]
    dear, cheap = np.exp2(learn(both, packaged(), rated, []).log2_rate) * 3600
    assert (dear, cheap) == (pytest.approx(0.24 + 4 * 0.21), pytest.approx(0.24 + 4 * 0.084))
    learnt = learn(both, packaged(), PRICES, [])
    assert learnt.log2_rate[1] < learnt.log2_rate[0] and learnt.sd[1] > learnt.sd[0]  # not known, likely less

    dimensions = (*space().dimensions, Dimension("core.market", "enum", ("on-demand", "spot")))
    now = {**settings, "core.inst_type": "m5.xlarge", "core.replicas": 6, "core.market": "on-demand"}
    search = Search(Space(dimensions, {"primary.inst_type": "m5.xlarge"}, now), Objective(), rated, packaged())
    seen: list[Observation] = []
    while not isinstance(found := search.suggest(seen), Stop):
        seconds = ran(scales_well, found.settings).duration_s or 0.0
        hourly = Cluster.of(found.settings, packaged()).usd_per_hour(rated) or 0.0
        cost = hourly * (seconds + PROVISIONING_S) / 3600
        seen.append(Observation(found.settings, "done", seconds, cost, cost, {"provisioning": PROVISIONING_S}))
    best = search.best(seen)
    assert best is not None and best.settings["core.market"] == "spot"
    assert [one.settings["core.market"] for one in seen].count("on-demand") <= 3, "what is dearer needs no trial"
