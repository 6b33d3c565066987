"""`servo-emr emulator`: the embedded EMR endpoint as a process of its own. What it does is in servo_emr.emulator."""

import math
import os
import re
from pathlib import Path
from typing import Any, NoReturn, Optional, Union

import typer

from servo_emr.cli.output import note
from servo_emr.cli.serving import LOOPBACK, listen_address, port_number, time_s
from servo_emr.emulator.prices.table import load_prices
from servo_emr.emulator.settings import Data, Settings
from servo_emr.emulator.world.clock import FASTEST
from servo_emr.emulator.world.durations import Ernest, parse_coefficients
from servo_emr.emulator.world.replay import Runtimes, load_runtimes
from servo_emr.pricing.table import PACKAGED

__all__ = ["emulator"]

_REPLAY = "replay:"
_REAL = "means nothing with --durations wall"


def emulator(
    port: int = typer.Option(0, help="Port; 0 takes a free one."),
    host: str = typer.Option(LOOPBACK, help="IPv4 address to listen on; 0.0.0.0: all. Others then run what they like."),
    speed: float = typer.Option(1.0, help="Emulated seconds a real second; 0: only POST /_emulator/clock moves it."),
    durations: str = typer.Option(
        "wall", help="wall: as here. model: by a stated law. replay:FILE[#COLUMN=VALUE,...]: by a table of runtimes."
    ),
    model: str = typer.Option("", help="Coefficients of the law, e.g. a=60,b=8000,c=10,d=2,w=16,k=4,f=0.25."),
    noise: Optional[float] = typer.Option(None, help="Relative standard deviation under the law; default 0.02."),
    no_execute: bool = typer.Option(False, "--no-execute", help="With model or replay: only time steps, run nothing."),
    seed: Optional[str] = typer.Option(None, help="Makes ids and chance repeatable; random when not given."),
    process_cap: Optional[str] = typer.Option(
        None, help="With model or replay, a process that really runs longer is killed; default 30m."
    ),
    cores: int = typer.Option(min(2, os.cpu_count() or 1), help="Cores that a node's Spark uses."),
    region: str = typer.Option("us-east-1", help="Region of the buckets that --data makes; clusters may be in any."),
    data: list[str] = typer.Option([], help="s3://BUCKET/PREFIX=FOLDER: its files are there at the start. Repeatable."),
    faults: Optional[Path] = typer.Option(None, help="What goes wrong, from the start: a YAML file (docs/faults.md)."),
    prices: list[Path] = typer.Option([], help="List prices of one region, repeatable; default: the packaged table."),
    spot_prices: Optional[Path] = typer.Option(None, help="Spot prices over time; without, invented from --prices."),
    quotas: Optional[Path] = typer.Option(None, help="Applied EC2 quotas: a YAML file, CODE: VCPUS on each line."),
    with_parent: bool = typer.Option(False, "--with-parent", help="End when the process that started this has ended."),
) -> None:
    """Run an emulated EMR endpoint: point any EMR client at it with AWS_ENDPOINT_URL.

    Prints `listening on http://127.0.0.1:N` when it is ready. Clients need keys: any will do. Steps run with your
    rights. No figure is AWS's.
    """
    how = _durations(durations, model)
    given: dict[str, Any] = {} if seed is None else {"seed": seed}
    if noise is not None:
        if not isinstance(how, Ernest):
            _fail(f"--noise {noise:g}: is the law's, and means nothing without --durations model")
        given["noise"] = _at_least_zero("--noise", noise)
    if process_cap is not None:
        if how is None or no_execute:
            _fail(f"--process-cap {process_cap}: {_REAL if how is None else 'means nothing with --no-execute'}")
        given["process_cap"] = time_s("--process-cap", process_cap, _fail)
    if no_execute and how is None:
        _fail(f"--no-execute: {_REAL}: a step that does not run has no real duration; use model or replay:FILE")
    settings = Settings(
        port=port_number(port, _fail),
        host=listen_address(host, _fail),
        speed=_at_least_zero("--speed", speed) if speed <= FASTEST else _fail(f"--speed {speed}: 0 to {FASTEST:g}"),
        durations=how,
        execute=not no_execute,
        cores=cores if cores >= 1 else _fail(f"--cores {cores}: at least 1"),
        region=region,
        data=[_data(text) for text in data],
        with_parent=with_parent,
        **given,
        **_files(faults, prices, spot_prices, quotas),
    )
    raise typer.Exit(_run(settings))


def _run(settings: Settings) -> int:
    try:
        from servo_emr.emulator.app import run  # moto and all that it needs: only now, and only here
    except ModuleNotFoundError as error:
        _fail(f"the emulator needs the package {error.name!r}: pip install 'servo-emr[emulator]'", 1)
    try:
        return run(settings)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        remedy = "choose another --port, or 0" + ("" if settings.host == LOOPBACK else ", or another --host")
        _fail(f"the emulator cannot listen on {place}: {error.strerror}; {remedy}", 1)
    except ValueError as error:
        _fail(f"--data: {error}")


def _durations(durations: str, model: str) -> Union[Ernest, Runtimes, None]:
    replayed = durations.removeprefix(_REPLAY) if durations.startswith(_REPLAY) else None
    if durations not in {"wall", "model"} and not replayed:
        _fail(f"--durations {durations}: wall, model or replay:FILE")
    if model and durations != "model":
        _fail(f"--model {model}: means nothing without --durations model")
    try:
        if replayed:
            return load_runtimes(replayed)
        return parse_coefficients(model) if durations == "model" else None
    except ValueError as error:
        _fail(f"--durations {_REPLAY}{error}" if replayed else f"--model {model}: {error}")


def _files(
    faults: Optional[Path], prices: list[Path], spot_prices: Optional[Path], quotas: Optional[Path]
) -> dict[str, Any]:
    """The settings that files hold. Readers that need more than the standard library are imported only where needed."""
    found: dict[str, Any] = {}
    try:
        found["prices"] = load_prices(*(path.expanduser() for path in prices or [PACKAGED]))
        if faults is not None:
            from servo_emr.emulator.faults.set import load_faults

            found["faults"] = load_faults(faults.expanduser())
        if spot_prices is not None:
            from servo_emr.emulator.prices.spot_prices import load_history

            found["spot_history"] = load_history(spot_prices.expanduser())
        if quotas is not None:
            from servo_emr.emulator.prices.quotas import load_quotas

            found["quotas"] = load_quotas(quotas.expanduser())
    except ValueError as error:
        _fail(str(error))
    return found


def _data(text: str) -> Data:
    # Both sides may hold a "=", as the folders of partitioned tables do: what exists decides.
    cuts = [index for index, letter in enumerate(text) if letter == "="]
    places = [(text[:cut], text[cut + 1 :]) for cut in cuts]
    if not places or re.fullmatch(r"s3://[^/]+(/.*)?", places[0][0]) is None or not places[0][1]:
        _fail(f"--data {text}: write s3://BUCKET/PREFIX=FOLDER")
    for uri, folder in places:
        if folder and Path(folder).expanduser().is_dir():
            bucket, _, prefix = uri.removeprefix("s3://").partition("/")
            return Data(bucket, prefix, Path(folder).expanduser())
    return _fail(f"--data {text}: there is no folder {places[0][1]}")


def _at_least_zero(option: str, value: float) -> float:
    if not math.isfinite(value) or value < 0:
        _fail(f"{option} {value}: a number, 0 or more")
    return value


def _fail(message: str, status: int = 2) -> NoReturn:
    note(f"servo-emr emulator: {message}")
    raise typer.Exit(status)
