"""servox's traps for a connector, a test for each: what it demands of one, and what it does to one that gets it wrong.

Here those that show in memory, with servox's own types and logger; those of a real `servo run` are beside it.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import json
import math
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import pytest
import semver
import servo
import servo.errors
from packaging.requirements import Requirement

from servo_emr.answers import told, translated
from servo_emr.config import EMRConfiguration
from servo_emr.connector import EMRConnector
from servo_emr.domain.errors import Conflict, LaunchUnclear, Reason, RunError, failure
from servo_emr.domain.run import RunState
from servo_emr.lifecycle.watch import Progress
from tests.support.front import front
from tests.support.scripted_target import NEVER, Script

# Nobody listens on the discard port.
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
BRACES = 'a {cell} of {"json": {}} {0} {'


@contextmanager
def logged() -> Iterator[list[Any]]:
    """The records that servox's logger gets meanwhile."""
    records: list[Any] = []
    handler = servo.logger.add(lambda message: records.append(message.record), level="DEBUG", enqueue=False)
    try:
        yield records
    finally:
        servo.logger.remove(handler)


def connector() -> EMRConnector:
    return EMRConnector(name="emr", config=EMRConfiguration.generate())


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)


# -- how a connector is declared

EVENTS = {"metrics", "components", "describe", "adjust", "attach", "check", "startup", "shutdown", "measure"}


def test_the_handlers_are_those_that_servox_registers_with_the_signatures_that_it_compares() -> None:
    # That the class could be made at all says that servox found every name and annotation equal to its own.
    assert {handler.event.name for handler in EMRConnector.__event_handlers__} == EVENTS
    for handler in EMRConnector.__event_handlers__:
        ours = inspect.signature(getattr(EMRConnector, handler.event.name))
        assert ours.return_annotation is not inspect.Signature.empty, handler.event.name
        assert list(ours.parameters)[1:] == list(handler.event.signature.parameters)[1:], handler.event.name


def test_handlers_that_reach_aws_are_async_and_those_that_are_sync_reach_nothing(nowhere: None) -> None:
    for name in EVENTS - {"metrics", "components"}:
        assert inspect.iscoroutinefunction(getattr(EMRConnector, name)), name
    assert [metric.name for metric in connector().metrics()][:2] == ["duration", "cost"]
    assert [component.name for component in connector().components()] == ["primary", "core"]


def test_instance_state_is_private_to_each_instance_and_no_configuration() -> None:
    assert {"_live", "_operation", "_running", "_stopping"} <= EMRConnector.__private_attributes__.keys()
    one, other = connector(), connector()
    one._running = True
    assert (other._running, set(EMRConnector.__fields__) >= {"config"}) == (False, True)


def test_the_name_in_servo_yaml_is_emr() -> None:
    assert (EMRConnector.__default_name__, EMRConnector.full_name) == ("emr", "EMR Connector")


def test_the_version_is_semver() -> None:
    version = EMRConnector.version
    assert str(semver.VersionInfo.parse(str(version))) == str(version)


def test_unknown_keys_of_the_section_are_refused_by_name() -> None:
    section = json.loads(EMRConfiguration.generate().json(exclude_unset=True))
    with pytest.raises(ValueError, match="regionn"):
        EMRConfiguration.parse_obj({**section, "regionn": "us-east-1"})


@pytest.mark.parametrize(("package", "broken"), [("click", "8.2.0"), ("authlib", "1.8.0"), ("setuptools", "82.0")])
def test_the_packages_that_break_servox_are_kept_out(package: str, broken: str) -> None:
    wanted = [Requirement(text) for text in importlib.metadata.requires("servo-emr") or ()]
    (ours,) = [one for one in wanted if one.name == package and one.marker is None]
    assert broken not in ours.specifier


def test_replicas_and_inst_type_have_fixed_names_so_that_each_role_is_a_component() -> None:
    names = {component.name: [setting.name for setting in component.settings] for component in connector().components()}
    assert names == {"primary": ["inst_type"], "core": ["inst_type", "replicas"]}


def test_seconds_dollars_and_hours_which_servoxs_units_lack_go_over_the_wire() -> None:
    description = servo.Description(components=[], metrics=connector().metrics())
    units = description.__opsani_repr__()["measurement"]["metrics"]
    assert [units[name]["unit"] for name in ("duration", "cost", "node_hours")] == ["s", "USD", "h"]


# -- loops and commands


def test_attach_runs_in_a_loop_that_is_closed_and_leaves_nothing_bound_to_it(nowhere: None) -> None:
    made = connector()
    context = click.Context(click.Group("servo"), info_name="servo")
    context.invoked_subcommand = "run"
    with context:
        asyncio.run(made.attach(None))
    assert made.telemetry["emr.breaker"] == "not known: environment/endpoint"
    assert asyncio.run(made.describe()).components
    assert asyncio.run(made.describe()).components


def test_attach_of_a_one_shot_command_asks_aws_nothing() -> None:
    made = connector()
    context = click.Context(click.Group("servo"), info_name="servo")
    context.invoked_subcommand = "describe"
    with context:
        asyncio.run(made.attach(None))
    assert "emr.breaker" not in made.telemetry.values
    assert made._live is None


async def test_a_one_shot_command_works_without_attach_and_startup() -> None:
    async with front() as f:
        assert (await f.connector.measure(metrics=["duration"])).readings
        assert f.world.check_that_nothing_is_left()


async def test_startup_does_not_raise_whatever_is_out_of_reach() -> None:
    async with front() as f:
        f.world.workspace.down = True
        with logged() as records:
            starting = asyncio.create_task(f.connector.startup())
            while not any("the lease cannot be taken yet" in record["message"] for record in records):
                assert not starting.done()
                await asyncio.sleep(0)
            starting.cancel()
            await asyncio.wait({starting})
        assert starting.cancelled()


async def test_calls_to_aws_do_not_block_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name, value in NOWHERE.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        describing = asyncio.create_task(connector().describe())
        held, _ = await asyncio.to_thread(silent.accept)
        turns = 0
        with held:
            while not describing.done():
                turns += 1
                await asyncio.sleep(0.01)
    assert turns > 1
    assert describing.result().components


# -- what leaves a handler


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.SUCCESS], ids=str)
def test_every_reason_leaves_as_an_event_error_and_none_as_a_cancellation(reason: Reason) -> None:
    error = told(failure(reason, "why", public="in public"), servo.MeasurementFailedError, None, details=False)
    assert isinstance(error, servo.errors.EventError)
    assert not isinstance(error, servo.errors.EventCancelledError)
    assert error.reason == str(reason)
    expected = {"configuration": servo.AdjustmentRejectedError, "shutdown": servo.EventAbortedError}
    assert type(error) is expected.get(str(reason).partition("/")[0], servo.MeasurementFailedError)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        TimeoutError("x"),
        KeyError("x"),
        ExceptionGroup("x", [ValueError("x")]),
        servo.ConnectorError("x"),
        Conflict("x"),
        LaunchUnclear("x"),
        failure(Reason.BUCKET, "x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_nothing_but_an_event_error_leaves_a_handler(error: Exception) -> None:
    def tell(ours: RunError) -> servo.EventError:
        return told(ours, servo.MeasurementFailedError, None, details=False)

    with pytest.raises(servo.errors.EventError) as left, translated(tell):
        raise error
    assert not isinstance(left.value, servo.errors.EventCancelledError)


@pytest.mark.parametrize("event", ["adjust", "measure"])
async def test_a_handler_in_which_something_breaks_says_failed_and_not_nothing(event: str) -> None:
    async with front() as f:

        async def broken(*arguments: Any) -> Any:
            raise ZeroDivisionError("a defect of ours")

        f.world.workspace.document = broken  # type: ignore[assignment]
        asked = {"adjustments": [servo.Adjustment(component_name="core", setting_name="replicas", value=3)]}
        with pytest.raises(servo.errors.EventError) as failed:
            await getattr(f.connector, event)(**(asked if event == "adjust" else {}))
        assert failed.value.reason == "internal/bug"
        del f.world.workspace.document


async def test_a_cancellation_passes_through_and_the_cluster_is_released_before() -> None:
    async with front(Script(job=NEVER)) as f:
        measuring = asyncio.create_task(f.connector.measure())
        f.world.clock.at(900.0, measuring.cancel)
        with pytest.raises(asyncio.CancelledError):
            await measuring
        assert f.world.target.alive == []


async def test_no_handler_returns_none() -> None:
    async with front() as f:
        foreign = [servo.Adjustment(component_name="web", setting_name="cpu", value=2)]
        assert isinstance(await f.connector.adjust(foreign), servo.Description)
        assert isinstance(await f.connector.adjust([]), servo.Description)
        assert isinstance(await f.connector.measure(metrics=None), servo.Measurement)


# -- values


FORMS: dict[str, Any] = {
    "none": None,
    "an empty list": [],
    "names": ["duration", "cost"],
    "metrics": [servo.Metric("duration", servo.Unit.count), servo.Metric("cost", servo.Unit.count)],
    "the keys of a dict": {"duration": {}, "cost": {}},
}


@pytest.mark.parametrize("form", FORMS)
async def test_metrics_come_as_names_as_metrics_as_keys_and_as_nothing_which_means_all(form: str) -> None:
    async with front() as f:
        readings = (await f.connector.measure(metrics=FORMS[form])).readings
        names = [reading.metric.name for reading in readings]
        if FORMS[form]:
            assert names == ["duration", "cost"]
        else:
            assert set(names) >= {"duration", "cost", "job_cost", "node_hours"}


async def test_readings_are_finite_floats_at_times_with_a_zone_and_annotations_are_texts() -> None:
    async with front() as f:
        measured = await f.connector.measure()
        assert all(isinstance(reading, servo.DataPoint) for reading in measured.readings)
        assert all(type(reading.value) is float and math.isfinite(reading.value) for reading in measured.readings)
        assert all(reading.time.utcoffset() is not None for reading in measured.readings)
        assert all(type(value) is str for value in measured.annotations.values())
        json.dumps(measured.__opsani_repr__(), allow_nan=False)


@pytest.mark.parametrize("value", [5, 5.0, "5", "5.0"], ids=repr)
async def test_a_number_of_nodes_may_come_as_a_text_or_a_float_and_goes_out_as_an_integer(value: Any) -> None:
    async with front() as f:
        asked = servo.Adjustment(component_name="core", setting_name="replicas", value=value)
        description = await f.connector.adjust([asked])
        settings = description.__opsani_repr__()["application"]["components"]["core"]["settings"]
        assert (settings["replicas"]["value"], type(settings["replicas"]["value"])) == (5, int)


async def test_a_control_without_userdata_and_one_with_other_peoples_keys_are_no_errors() -> None:
    async with front() as f:
        for control in (servo.Control(), servo.Control(userdata={"another": {"key": 1}})):
            assert (await f.connector.measure(metrics=["duration"], control=control)).readings


# -- the log, which is also how progress is posted


async def test_braces_in_a_text_of_somebody_elses_reach_the_log_unharmed() -> None:
    async with front() as f:
        with logged() as records:
            f.connector._warn(BRACES)
            f.connector._failed(failure(Reason.CELL_ERROR, BRACES), servo.MeasurementFailedError, None)
        assert [BRACES in record["message"] for record in records] == [True, True]


async def test_warnings_and_errors_are_never_posted_as_progress() -> None:
    async with front() as f:
        with logged() as records:
            f.connector._warn("a warning")
            f.connector._failed(failure(Reason.CELL_ERROR, "an error"), servo.MeasurementFailedError, None)
        assert [record["extra"].get("progress") for record in records] == [None, None]


@pytest.mark.parametrize(("percent", "posted"), [(0, 1), (1, 1), (50, 50), (99, 99)])
def test_progress_is_never_zero_which_servox_drops(percent: int, posted: int) -> None:
    with logged() as records:
        connector()._post(Progress("20261120t101112-aaaaaaaa", "", RunState.QUEUED, percent, 0.0, 0.0))
    (record,) = records
    assert record["extra"]["progress"] == posted


def test_a_percentage_never_goes_back_also_when_a_second_cluster_begins_anew() -> None:
    posting = connector()
    heard: list[Progress] = []
    posting.listen(heard.append)
    with logged() as records:
        for percent in (40, 10, 60):
            posting._post(Progress("20261120t101112-aaaaaaaa", "", RunState.RUNNING, percent, 0.0, 0.0))
    assert [record["extra"]["progress"] for record in records] == [40, 40, 60]
    assert [progress.percent for progress in heard] == [40, 10, 60]


async def test_progress_is_logged_from_the_loop_and_stays_below_one_hundred_however_late_a_run_is() -> None:
    async with front(Script(job=NEVER)) as f:
        logging: list[tuple[int, str]] = []

        def sink(message: Any) -> None:
            if "progress" in message.record["extra"]:
                logging.append((message.record["extra"]["progress"], threading.current_thread().name))

        handler = servo.logger.add(sink)
        try:
            with pytest.raises(servo.errors.EventError):
                await f.connector.measure()  # far longer than expected, until its limit
        finally:
            servo.logger.remove(handler)
        assert {thread for _, thread in logging} == {threading.main_thread().name}
        assert 0 < min(percent for percent, _ in logging) <= max(percent for percent, _ in logging) < 100
