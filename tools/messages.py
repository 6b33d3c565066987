"""Every message that servo_emr can print, collected from its source, as the last part of docs/failures.md shows them.

An error can only be made by calling `failure` or one of the classes of `domain.errors`, and a person is only spoken to
through a few functions: every such call is found in the syntax trees, and its words are read off it. What is put into
a message when it is made is shown as "…". Nothing of servo_emr is imported.
"""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HEADING", "Message", "collect", "error_names", "part", "unread"]

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "servo_emr"
HEADING = "## Every message, in its own words"
USAGE, LOG, SAID = "wrong usage or configuration", "in the log, and as warnings", "by a command, beside what it shows"
WRONG = "what a message says of a value that is wrong"
SEVERAL = "for several of the reasons"
_CLOSED = ("emulator", "cluster")
"""Packages with messages of their own: the emulator says what AWS would, what runs on the cluster says it by
result.json."""
_READERS = {"quotas.py", "spot_prices.py", "table.py", "durations.py", "replay.py"}
"""What in the emulator reads what a person gives it; docs/faults.md has the documents of faults."""
_LOGGED = {"_warn", "warn"}
_TOLD = {"note", "say", "echo"}
_KEPT = {"notes": SAID, "warnings": LOG, "mind": LOG}
"""Lists whose lines are told later, by somebody who reads them from there: where what is appended to one is shown."""
_YAML = ("sections.py", "config.py")
"""Where a ValueError becomes a line about servo.yaml."""
_CHECKS = {"Finding": 1, "failed": 2, "warned": 1, "Checked": 2}
"""What checks and preflights find: where in the call the words stand. The first argument of a check is its name."""
_ADVICE = {"Finding": 3, "failed": 3, "Checked": 3, "warned": 2}
"""Where the advice stands; elsewhere it is named."""
_NOWHERE = 99
_MOST = 40
_FEW = 8
"""So many ways to say it are shown apart; beyond, what is put in as a single word is not."""
_ELSEWHERE = "…"
_DEPTH = 3
_SHOWN = ast.Name | ast.IfExp | ast.Subscript


@dataclass(frozen=True, order=True)
class Message:
    """One message: under which heading it stands, its words, and its own advice, empty where it has none."""

    heading: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class _Module:
    tree: ast.Module
    parents: dict[ast.AST, ast.AST]

    def function(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The function that a node stands in."""
        while (parent := self.parents.get(node)) is not None:
            if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
                return parent
            node = parent
        return None

    def calls(self, name: str) -> list[ast.Call]:
        return [n for n in ast.walk(self.tree) if isinstance(n, ast.Call) and _called(n) == name]


def error_names(package: Path = PACKAGE) -> set[str]:
    """What makes an error: the classes of domain/errors.py, and `failure`."""
    classes = [n for n in ast.parse((package / "domain/errors.py").read_text()).body if isinstance(n, ast.ClassDef)]
    found = {"ServoEmrError"}
    for cls in classes:  # a class stands below its base
        if found & {ast.unparse(base) for base in cls.bases}:
            found.add(cls.name)
    return found | {"failure"}


def collect(package: Path = PACKAGE) -> list[Message]:
    """All messages, in the order in which they are shown."""
    reasons = _reasons(package)
    errors = error_names(package)
    found: list[Message] = []
    for path in sorted(package.rglob("*.py")):
        if _closed(path.relative_to(package)):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = _Module(tree, {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)})
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yaml = path.name in _YAML and path.parent == package
                found += _messages(node, module, errors, reasons, USAGE if yaml else WRONG)
    return sorted(set(found))


def _closed(path: Path) -> bool:
    return bool(set(_CLOSED) & set(path.parts)) and path.name not in _READERS


def _messages(
    call: ast.Call, module: _Module, errors: set[str], reasons: dict[str, str], wrong: str
) -> Iterator[Message]:
    name = _called(call)
    if name in errors:
        heading = USAGE if name == "UsageError" else _heading(call, reasons)
        texts = _texts(_argument(call, 1 if name == "failure" else 0, "message"), module)
    elif name in ("ValueError", "StudyError", "_fail", "fail"):
        heading = wrong if name == "ValueError" else USAGE
        texts = _texts(_argument(call, 0, "message"), module)
    elif name in _CHECKS:
        heading = _heading(call, reasons) if name in ("Finding", "failed") else SAID
        texts = _texts(_argument(call, _CHECKS[name], "message"), module)
    elif name in _LOGGED | _TOLD:
        heading = LOG if name in _LOGGED else SAID
        texts = _texts(_argument(call, 0, "text"), module)
    elif (kept := _list_of(call)) is not None:
        heading, texts = kept, _texts(call.args[0], module)
    else:
        return
    remedies = _texts(_argument(call, _ADVICE.get(name, _NOWHERE), "remedy"), module)
    advice = " Or: ".join(remedy for remedy in remedies if _says(remedy))
    for text in texts:
        if _says(text):
            yield Message(heading, text, advice)


def unread(package: Path = PACKAGE) -> list[str]:
    """The errors that are made without a word of their own, as "module: function": they pass on somebody else's."""
    found = []
    errors = error_names(package)
    for path in sorted(package.rglob("*.py")):
        if _closed(path.relative_to(package)):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = _Module(tree, {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)})
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) in errors:
                texts = _texts(_argument(node, 1 if _called(node) == "failure" else 0, "message"), module)
                if not any(_says(text) for text in texts):
                    function = module.function(node)
                    where = function.name if function is not None else "module"
                    found.append(f"{path.relative_to(package).as_posix()}: {where}")
    return found


def _called(call: ast.Call) -> str:
    function = call.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _list_of(call: ast.Call) -> str | None:
    """Where a line is shown that is appended to a list of lines."""
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr != "append" or not isinstance(function.value, ast.Name):
        return None
    return _KEPT.get(function.value.id)


def _says(text: str) -> bool:
    """Whether there are words in it, and not only what is put in."""
    return len(re.findall(r"[A-Za-z]{2,}", text)) >= 2


def _argument(call: ast.Call, position: int, keyword: str) -> ast.expr | None:
    named = next((k.value for k in call.keywords if k.arg == keyword), None)
    if named is not None:
        return named
    plain = [arg for arg in call.args if not isinstance(arg, ast.Starred)]
    return plain[position] if position < len(plain) else None


def _heading(call: ast.Call, reasons: dict[str, str]) -> str:
    """The reason that stands in a call; SEVERAL where it is decided when it is made."""
    named = {
        reasons[node.attr]
        for argument in [*call.args, *(k.value for k in call.keywords)]
        for node in ast.walk(argument)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Reason" and node.attr in reasons
    }
    return named.pop() if len(named) == 1 else SEVERAL


def _reasons(package: Path) -> dict[str, str]:
    tree = ast.parse((package / "domain/errors.py").read_text())
    (reason,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Reason"]
    return {
        ast.unparse(node.targets[0]): str(node.value.value)
        for node in reason.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }


def _texts(node: ast.expr | None, module: _Module, seen: frozenset[str] = frozenset()) -> list[str]:
    """What an expression may say; every way that can be read off the source."""
    if node is None:
        return []
    if isinstance(node, ast.Constant):
        return [" ".join(str(node.value).split(" "))] if isinstance(node.value, str) else [_ELSEWHERE]
    if isinstance(node, ast.JoinedStr):
        return _joined([_texts(value, module, seen) for value in node.values])
    if isinstance(node, ast.FormattedValue):
        return _texts(node.value, module, seen) if isinstance(node.value, _SHOWN) else [_ELSEWHERE]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _joined([_texts(node.left, module, seen), _texts(node.right, module, seen)])
    if isinstance(node, ast.IfExp):
        return _unique([*_texts(node.body, module, seen), *_texts(node.orelse, module, seen)])
    if isinstance(node, ast.BoolOp):
        return _unique(text for value in node.values for text in _texts(value, module, seen))
    if isinstance(node, ast.Name) and node.id not in seen and len(seen) < _DEPTH:
        return _named(node, module, seen | {node.id})
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in seen:
        deeper = seen | {node.func.id}
        if len(seen) < _DEPTH and (said := _returned(node.func.id, module)):
            return _unique(text for value in said for text in _texts(value, module, deeper))
    if (table := _table(node)) is not None:
        dictionaries = [value for value in _assigned(table, module.tree, top=True) if isinstance(value, ast.Dict)]
        values = [value for dictionary in dictionaries for value in dictionary.values]
        return _unique(text for value in values for text in _texts(value, module, seen)) or [_ELSEWHERE]
    return [_ELSEWHERE]


def _returned(name: str, module: _Module) -> list[ast.expr]:
    """What a function of the module may return."""
    function = next((n for n in module.tree.body if isinstance(n, ast.FunctionDef) and n.name == name), None)
    returns = [n for n in ast.walk(function) if isinstance(n, ast.Return)] if function is not None else []
    return [one.value for one in returns if one.value is not None]


def _table(node: ast.expr) -> str | None:
    """The dictionary that an expression takes its value from."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return node.value.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
        return node.func.value.id if isinstance(node.func.value, ast.Name) else None
    return None


def _named(node: ast.Name, module: _Module, seen: frozenset[str]) -> list[str]:
    """What a name may hold: what is assigned to it, or what the callers of its function give."""
    function = module.function(node)
    scope: ast.AST = module.tree if function is None else function
    assigned = _assigned(node.id, scope) or (_assigned(node.id, module.tree, top=True) if function else [])
    if assigned := assigned or _imported(node.id, module):
        return _unique(text for value in assigned for text in _texts(value, module, seen))
    if function is None:
        return [_ELSEWHERE]
    parameters = [*function.args.posonlyargs, *function.args.args]
    positions = {parameter.arg: index for index, parameter in enumerate(parameters)}
    keywords = {parameter.arg for parameter in function.args.kwonlyargs}
    if node.id not in positions and node.id not in keywords:
        return [_ELSEWHERE]
    bound = 1 if parameters and parameters[0].arg in ("self", "cls") else 0
    given = [_argument(call, positions.get(node.id, _NOWHERE) - bound, node.id) for call in module.calls(function.name)]
    return _unique(text for value in given if value is not None for text in _texts(value, module, seen)) or [_ELSEWHERE]


def _imported(name: str, module: _Module) -> list[ast.expr]:
    """What a constant of another module of ours is."""
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("servo_emr."):
            path = PACKAGE.parent.joinpath(*str(node.module).split(".")).with_suffix(".py")
            if name.isupper() and any(alias.name == name for alias in node.names) and path.is_file():
                return _assigned(name, ast.parse(path.read_text(encoding="utf-8")), top=True)
    return []


def _assigned(name: str, scope: ast.AST, top: bool = False) -> list[ast.expr]:
    nodes = ast.iter_child_nodes(scope) if top else ast.walk(scope)
    found = []
    for node in nodes:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and target.id == name and value is not None:
                found.append(value)
            elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                found += [v for t, v in zip(target.elts, value.elts, strict=False) if ast.unparse(t) == name]
        if isinstance(node, ast.AugAssign) and ast.unparse(node.target) == name:
            found.append(node.value)
    return found


def _joined(parts: Sequence[list[str]]) -> list[str]:
    if math.prod(map(len, parts)) > _FEW:
        parts = [_unique(text if " " in text or len(part) == 1 else _ELSEWHERE for text in part) for part in parts]
    whole = ["".join(choice) for choice in itertools.islice(itertools.product(*parts), _MOST)]
    return _unique(re.sub(f"{_ELSEWHERE}+", _ELSEWHERE, text) for text in whole)


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def part(messages: Sequence[Message], order: Sequence[str]) -> str:
    """The last part of the page.

    Args:
        order: the reasons, as the page has them.
    """
    lines = [
        HEADING,
        "",
        "Made from the source by `python tools/failure_guide.py`; … stands for what differs. After -> is the message's "
        "own advice; without one, what the reason's section says is shown.",
    ]
    for heading in (*order, SEVERAL, USAGE, WRONG, LOG, SAID):
        of_heading = [message for message in messages if message.heading == heading]
        if of_heading:
            lines += ["", f"### {heading}", ""]
            # Some differ in their blanks alone.
            lines += _unique(f"- {_line(m.text)}{f' -> {_line(m.remedy)}' if m.remedy else ''}" for m in of_heading)
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    """A message on one line of Markdown, with nothing in it taken for markup."""
    return re.sub(r"([<>*_])", r"\\\1", " ".join(text.split()))
