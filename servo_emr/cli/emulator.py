"""`servo-emr emulator`: the embedded EMR endpoint as a process of its own. What it does is in servo_emr.emulator."""

import math
import os
import re
from pathlib import Path
from typing import NoReturn, Optional

import typer

from servo_emr.emulator.durations import Ernest, parse_coefficients
from servo_emr.emulator.settings import Data, Settings

__all__ = ["emulator"]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def emulator(
    port: int = typer.Option(0, help="Port on 127.0.0.1; 0 takes a free one."),
    speed: float = typer.Option(1.0, help="Emulated seconds a real second; 0: only POST /_emulator/clock moves it."),
    durations: str = typer.Option("wall", help="wall: what it really takes here. model: by a stated law."),
    model: str = typer.Option("", help="Coefficients of the law in seconds, e.g. a=60,b=8000,c=10,d=2."),
    noise: float = typer.Option(0.02, help="Relative standard deviation of durations under the law."),
    seed: Optional[str] = typer.Option(None, help="Makes ids and chance repeatable; random when not given."),
    process_cap: str = typer.Option("30m", help="Under the law, a process that really runs longer is killed."),
    cores: int = typer.Option(min(2, os.cpu_count() or 1), help="Cores that a node's Spark uses."),
    region: str = typer.Option("us-east-1", help="Region of the buckets that --data makes; clusters may be in any."),
    data: list[str] = typer.Option([], help="s3://BUCKET/PREFIX=FOLDER: its files are there at the start. Repeatable."),
    with_parent: bool = typer.Option(False, "--with-parent", help="End when the process that started this has ended."),
) -> None:
    """Run an emulated EMR endpoint: point any EMR client at it with AWS_ENDPOINT_URL.

    Prints `listening on http://127.0.0.1:N` when it is ready. Steps run with your rights. No figure is AWS's.
    """
    if not 0 <= port <= 65535:
        _fail(f"--port {port}: a port is 0 to 65535")
    settings = Settings(
        port=port,
        speed=_at_least_zero("--speed", speed),
        law=_law(durations, model),
        noise=_at_least_zero("--noise", noise),
        process_cap=_seconds("--process-cap", process_cap),
        cores=cores if cores >= 1 else _fail(f"--cores {cores}: at least 1"),
        region=region,
        data=[_data(text) for text in data],
        with_parent=with_parent,
        **({} if seed is None else {"seed": seed}),
    )
    try:
        from servo_emr.emulator.app import run  # moto and all that it needs: only now, and only here
    except ModuleNotFoundError as error:
        _fail(f"the emulator needs the package {error.name!r}: pip install 'servo-emr[emulator]'", 1)
    try:
        status = run(settings)
    except OSError as error:
        _fail(f"the emulator cannot listen on 127.0.0.1:{port}: {error.strerror}; choose another --port, or 0", 1)
    except ValueError as error:
        _fail(f"--data: {error}")
    raise typer.Exit(status)


def _law(durations: str, model: str) -> Optional[Ernest]:
    if durations not in {"wall", "model"}:
        _fail(f"--durations {durations}: wall or model")
    if durations == "wall":
        if model:
            _fail(f"--model {model}: means nothing with --durations wall")
        return None
    try:
        return parse_coefficients(model)
    except ValueError as error:
        _fail(f"--model {model}: {error}")


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


def _seconds(option: str, text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or float(match[1]) == 0:
        _fail(f"{option} {text}: a time such as 90s, 30m or 2h")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _at_least_zero(option: str, value: float) -> float:
    if not math.isfinite(value) or value < 0:
        _fail(f"{option} {value}: a number, 0 or more")
    return value


def _fail(message: str, status: int = 2) -> NoReturn:
    typer.echo(f"servo-emr emulator: {message}", err=True)
    raise typer.Exit(status)
