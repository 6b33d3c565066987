"""`servo-emr optimizer`: the bundled optimizer as a process of its own. What it does is in servo_emr.optimizer."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from pathlib import Path
from typing import Any, NoReturn, Optional

import typer
import yaml

from servo_emr.cli.create_cluster import command_for
from servo_emr.cli.output import note
from servo_emr.cli.serving import LOOPBACK, listen_address, port_number, time_s
from servo_emr.cli.settings_file import file_of

__all__ = ["optimizer"]

_CHEAPEST, _FASTEST = "cheapest", "fastest"


def optimizer(
    context: typer.Context,
    port: int = typer.Option(0, help="Port; 0 takes a free one."),
    host: str = typer.Option(
        LOOPBACK, help="IPv4 address to listen on; 0.0.0.0: all. Others than loopback's need a token."
    ),
    storage: str = typer.Option(
        "sqlite:///servo-emr-study.db", help="Where the study is kept: a storage URL of Optuna."
    ),
    application: Optional[str] = typer.Option(
        None, help="ACCOUNT/APPLICATION that is served; default: OPSANI_OPTIMIZER, servo.yaml's optimizer.id."
    ),
    token_file: Optional[Path] = typer.Option(
        None, help="File with the token; default: OPSANI_TOKEN, OPSANI_TOKEN_FILE, servo.yaml's optimizer.token."
    ),
    allow_host: list[str] = typer.Option([], help="A further name it may be addressed by, without port. Repeatable."),
    objective: str = typer.Option(_CHEAPEST, help="cheapest, or fastest, which needs --price."),
    deadline: Optional[str] = typer.Option(None, help="With cheapest: the job may take so long at most, e.g. 45m."),
    price: Optional[float] = typer.Option(None, help="With fastest: USD that one run may cost at most."),
    future_runs: int = typer.Option(100, min=1, help="Runs to come: what is saved on them has to pay for the search."),
    prices: Optional[Path] = typer.Option(
        None, help="What `servo-emr prices -o json` printed; else dollars are learned."
    ),
    runs: Optional[int] = typer.Option(None, min=1, help="Stop exploring after so many runs."),
    dollars: Optional[float] = typer.Option(None, help="Stop exploring after so many USD; no trial may pass it."),
    hours: Optional[float] = typer.Option(None, help="Stop exploring after so many hours."),
    recheck: str = typer.Option("1w", help="Measure the best again after so long, e.g. 12h, 1d, 1w."),
    seed: Optional[int] = typer.Option(None, min=0, help="Of a new study's chance; 0 when not given."),
    with_parent: bool = typer.Option(False, "--with-parent", help="End when the process that started this has ended."),
) -> None:
    """Run the bundled optimizer: point a servo at it with OPSANI_BASE_URL.

    Prints `listening on http://127.0.0.1:N` when it is ready. GET / shows what it does, and why. It launches nothing by
    itself: its servo does, within servo.yaml's bounds and limits.
    """
    port_number(port, _fail)
    own, address = _servo_yaml(context.obj), listen_address(host, _fail)
    access = _access(application, _token(token_file, own), own, address)
    limits = {
        "runs": runs,
        "usd": None if dollars is None else _positive("--dollars", dollars),
        "hours": None if hours is None else _positive("--hours", hours),
    }
    further = {"storage": storage, "port": port, "host": address, "seed": seed or 0, "with_parent": with_parent}
    further["recheck_s"] = time_s("--recheck", recheck, _fail)
    wanted = {**_objective(objective, deadline, price), "runs_declared": future_runs}
    raise typer.Exit(_run({**access, "hosts": _hosts(address, allow_host)}, wanted, limits, further, prices, own))


def _access(
    application: Optional[str], token: Optional[str], own: dict[str, Any], address: str
) -> dict[str, Optional[str]]:
    """Whose application is served, and with what token."""
    application = application or os.environ.get("OPSANI_OPTIMIZER") or own.get("id")
    if application is not None and re.fullmatch(r"[^/\s]+/\S+", application) is None:
        _fail(f"--application {application}: write ACCOUNT/APPLICATION, as in servo.yaml's optimizer.id")
    if token is None and not ipaddress.IPv4Address(address).is_loopback:
        _fail(f"--host {address}: needs a token: set OPSANI_TOKEN, --token-file, or optimizer.token in servo.yaml")
    if token is None:
        note(
            "No token was given (OPSANI_TOKEN, --token-file, servo.yaml): the first servo's is taken, for as long as "
            "this process lives. Anybody on this machine may be first."
        )
    for name, served in (("id", application), ("token", token)):
        if own.get(name) not in (None, served):
            note(
                f"{own['path']}: optimizer.{name} is not what is served here. It beats the environment in a servo that "
                "reads this file, which is then refused: take `optimizer:` out of it, or say the same there."
            )
    return {"token": token, "application": application}


def _run(
    access: dict[str, Any],
    objective: dict[str, Any],
    limits: dict[str, Any],
    further: dict[str, Any],
    prices: Optional[Path],
    own: dict[str, Any],
) -> int:
    try:
        from servo_emr.optimizer import app  # Optuna, scipy and the server: only now, and only here
        from servo_emr.optimizer.create_cluster import create_cluster
        from servo_emr.optimizer.limits import Limits
        from servo_emr.optimizer.prices import Prices
        from servo_emr.optimizer.search import Objective
        from servo_emr.optimizer.server import Access
    except ModuleNotFoundError as error:
        _fail(f"the optimizer needs the package {error.name!r}: pip install 'servo-emr[optimizer]'", 1)
    place = f"{further['host']}:{further['port']}"
    loopback = ipaddress.IPv4Address(further["host"]).is_loopback
    try:
        return app.run(
            app.Settings(
                access=Access(open_page=loopback, **access),
                objective=Objective(**objective),
                limits=Limits(**limits),
                prices=None if prices is None else Prices.read(prices),
                command=command_for(own["path"], own["emr"]) if own.get("emr") else create_cluster,
                **further,
            )
        )
    except app.StudyError as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(f"the optimizer cannot listen on {place}: {error.strerror}; choose another --port, or 0", 1)
    except ValueError as error:
        _fail(f"{error}")


def _servo_yaml(given: Optional[str]) -> dict[str, Any]:
    """optimizer.id and optimizer.token of servo.yaml, its emr section and its path; {} when there is no such file."""
    path = file_of(given)
    if not (given or os.environ.get("SERVO_CONFIG_FILE")) and not path.exists():
        return {}
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        _fail(f"{path}: cannot be read: {error}")
    document = document if isinstance(document, dict) else {}
    own, emr = document.get("optimizer"), document.get("emr")
    found = {name: str(own[name]) for name in ("id", "token") if own.get(name)} if isinstance(own, dict) else {}
    return {**found, "path": path, "emr": emr if isinstance(emr, dict) else {}}


def _token(file: Optional[Path], own: dict[str, Any]) -> Optional[str]:
    named = os.environ.get("OPSANI_TOKEN_FILE")
    if file is None and (os.environ.get("OPSANI_TOKEN") or not named):
        return os.environ.get("OPSANI_TOKEN") or own.get("token")
    path = file or Path(str(named))
    try:
        token = path.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        _fail(f"token file {path}: cannot be read: {error}")
    return token or _fail(f"token file {path}: is empty")


def _objective(objective: str, deadline: Optional[str], price: Optional[float]) -> dict[str, Any]:
    if objective not in (_CHEAPEST, _FASTEST):
        _fail(f"--objective {objective}: cheapest or fastest")
    if objective == _FASTEST:
        if price is None or deadline is not None:
            _fail("--objective fastest: needs --price, USD that one run may cost, and takes no --deadline")
        return {"kind": "fastest-under-price", "price_usd": _positive("--price", price)}
    if price is not None:
        _fail(f"--price {price:g}: means nothing with --objective cheapest")
    if deadline is None:
        return {"kind": "cheapest"}
    return {"kind": "cheapest-under-deadline", "deadline_s": time_s("--deadline", deadline, _fail)}


def _hosts(address: str, allowed: list[str]) -> tuple[str, ...]:
    """What it may be addressed by beside loopback's names: its own address, and what is allowed."""
    own = () if address == "0.0.0.0" else (address,)
    return (*own, *map(_host_name, allowed))


def _host_name(name: str) -> str:
    if re.fullmatch(r"[\w.-]+|\[[0-9a-fA-F:.]+\]", name) is None:
        _fail(f"--allow-host {name}: a name or an address alone, without scheme and port")
    return name.lower()


def _positive(option: str, value: float) -> float:
    if not math.isfinite(value) or value <= 0:
        _fail(f"{option} {value}: a positive number")
    return value


def _fail(message: str, status: int = 2) -> NoReturn:
    note(f"servo-emr optimizer: {message}")
    raise typer.Exit(status)
