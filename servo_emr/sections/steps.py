"""What may stand in `job.prepare`, `job.run` and `job.cleanup`: one model for each kind of step, known by its key."""

from __future__ import annotations

import difflib
import re
from typing import Any, ClassVar

import pydantic
import servo
from pydantic.error_wrappers import ErrorWrapper

from servo_emr.domain.spec import Kind, canonical
from servo_emr.domain.trial import references
from servo_emr.sections.base import NAME, S3_OBJECT, S3_URI, Section, length, texts, word

__all__ = [
    "STEP_MODELS",
    "ApplicationStep",
    "CommandStep",
    "JarStep",
    "NotebookStep",
    "RestoreStep",
    "ScriptStep",
    "StepSection",
    "check_parameters",
    "steps_from",
]

_SHELLS = re.compile(r"(.*/)?(a|ba|c|da|fi|k|rba|tc|z)?sh")
_SHELLS_OPTIONS = ("--rcfile", "--init-file")
"""Long options of shells that take a word."""
_ACTIONS = ("TERMINATE_CLUSTER", "TERMINATE_JOB_FLOW", "CANCEL_AND_WAIT", "CONTINUE")


def check_parameters(value: dict[str, Any]) -> dict[str, Any]:
    """A notebook's parameters: Python names, and values that JSON can say."""
    for name, item in value.items():
        if not re.fullmatch(NAME, name):
            raise ValueError(f"'{name}' cannot be a parameter's name: it must be a Python name")
        try:
            canonical(item).encode()
        except (TypeError, ValueError) as error:
            raise ValueError(f"'{name}' holds a value that JSON cannot say ({error}); quote it") from None
    return value


def _place(value: str) -> str:
    if "://" in value and not re.match(S3_OBJECT, value):
        raise ValueError("is neither s3://bucket/key nor a local path")
    if value.endswith("/"):
        raise ValueError("is a folder: name the file")
    return value


def _object(value: str) -> str:
    if not re.match(S3_OBJECT, value):
        raise ValueError("must be an object in S3: s3://bucket/key")
    return value


def _program(value: str) -> str:
    if value.endswith((".ipynb", ".json", ".txt")):
        raise ValueError("is no program; a notebook has the key 'notebook'")
    return _place(value)


def _words(value: object) -> list[str]:
    """Words of a command line: numbers and truth values are written as texts."""
    if not isinstance(value, list):
        raise ValueError("must be a list, one word an item: no shell takes a line apart")
    words = list(texts({f"word {number}": item for number, item in enumerate(value, 1)}).values())
    if any("\0" in item for item in words):
        raise ValueError("holds a NUL character, which no command line can")
    return words


def _code_of(words: list[str]) -> str | None:
    """What of its arguments a shell reads as code; None without -c."""
    coded, rest = False, iter(words)
    for text in rest:
        if text in ("-", "--"):
            text = next(rest, "")
        elif text.startswith("--"):
            if text in _SHELLS_OPTIONS:
                next(rest, None)
            continue
        elif text.startswith(("-", "+")):
            coded = coded or (text[0] == "-" and "c" in text)
            for _ in range(text.lower().count("o")):  # -o pipefail, -euo pipefail
                next(rest, None)
            continue
        return text if coded else None
    return None


def _no_shell_code(words: list[str]) -> list[str]:
    """A reference in the code of a shell would have to be escaped for it; as an argument it needs no escaping."""
    for number, shell in enumerate(words):
        code = _code_of(words[number + 1 :]) if _SHELLS.fullmatch(shell) else None
        if inside := min(references(code), default=None):
            raise ValueError(
                f"{{{inside}}} stands in the code of a shell, where no escaping is sure: give it as an argument of its "
                f'own behind the code, and use "$1" there: [{shell}, -c, \'echo "$1"\', {shell}, '
                f"'{{{inside}}}']"
            )
    return words


class StepSection(Section):
    """What every kind of step has."""

    kind: ClassVar[Kind]
    name: str | None = pydantic.Field(None, description="For people; EMR shows it.", min_length=1, max_length=200)
    timeout: servo.Duration | None = pydantic.Field(
        None, description="The step's own time limit; without it job.timeout holds."
    )

    @pydantic.validator("name")
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("holds a line's end or another character that cannot be shown")
        return value

    @pydantic.validator("timeout", pre=True)
    def _positive(cls, value: object) -> servo.Duration | None:
        return None if value is None else length(value)

    @property
    def title(self) -> str:
        """The step's name for people."""
        return self.name or self._named()

    def _named(self) -> str:
        return str(getattr(self, self.kind)).rstrip("/").rpartition("/")[2][:200] or str(self.kind)


class NotebookStep(StepSection):
    """A notebook, run by papermill."""

    kind: ClassVar[Kind] = Kind.NOTEBOOK
    notebook: str = pydantic.Field(..., description="s3:// URI or local path of the notebook.", min_length=1)
    parameters: dict[str, Any] = pydantic.Field({}, description="papermill parameters of this notebook.")
    kernel: str | None = pydantic.Field(None, description="Its kernel; job.kernel without.", regex=r"^[\w.-]+$")

    _known_place = pydantic.validator("notebook", allow_reuse=True)(_place)
    _json = pydantic.validator("parameters", allow_reuse=True)(check_parameters)


class _WithWords(StepSection):
    args: list[str] = pydantic.Field([], description="Its arguments, one an item.")

    _as_words = pydantic.validator("args", pre=True, allow_reuse=True)(_words)
    _plain_code = pydantic.validator("args", allow_reuse=True)(_no_shell_code)


class ScriptStep(_WithWords):
    """A script, run by what its first line names, else by bash."""

    kind: ClassVar[Kind] = Kind.SCRIPT
    script: str = pydantic.Field(..., description="s3:// URI or local path of the script.", min_length=1)

    _known_place = pydantic.validator("script", allow_reuse=True)(_program)


class ApplicationStep(_WithWords):
    """An application, run by spark-submit in client mode."""

    kind: ClassVar[Kind] = Kind.APPLICATION
    application: str = pydantic.Field(..., description="s3:// URI or local path of the .py or .jar.", min_length=1)
    main_class: str | None = pydantic.Field(None, description="Of a jar.", regex=r"^[\w.$]+$")
    conf: dict[str, Any] = pydantic.Field({}, description="Spark properties of this application.")
    py_files: list[str] = pydantic.Field([], description="s3:// URIs of further Python files.")
    jars: list[str] = pydantic.Field([], description="s3:// URIs of further jars.")

    _known_place = pydantic.validator("application", allow_reuse=True)(_program)
    _fetched = pydantic.validator("py_files", "jars", each_item=True, allow_reuse=True)(_object)

    @pydantic.validator("conf")
    def _as_texts(cls, value: dict[str, Any]) -> dict[str, Any]:
        return texts(value)


class CommandStep(StepSection):
    """A command of the primary node, word by word."""

    kind: ClassVar[Kind] = Kind.COMMAND
    command: list[str] = pydantic.Field(..., description="The program and its arguments, one an item.", min_items=1)

    _as_words = pydantic.validator("command", pre=True, allow_reuse=True)(_words)
    _plain_code = pydantic.validator("command", allow_reuse=True)(_no_shell_code)

    def _named(self) -> str:
        return self.command[0].rpartition("/")[2][:200] or "command"


class RestoreStep(StepSection):
    """A copy of an S3 prefix into the run's own folder."""

    kind: ClassVar[Kind] = Kind.RESTORE
    restore: str = pydantic.Field(..., description="s3:// prefix that is copied.")
    into: str | None = pydantic.Field(None, description="The folder below {run.inputs} that it is copied into.")

    @pydantic.validator("restore")
    def _in_s3(cls, value: str) -> str:
        if not re.match(S3_URI, value):
            raise ValueError("must be a prefix in S3: s3://bucket/prefix")
        return value

    @pydantic.validator("into", pre=True)
    def _plain(cls, value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", value):
            raise ValueError("must be one folder's name: letters, digits, '.', '_' and '-'")
        return value

    def _named(self) -> str:
        return f"restore {self.into}" if self.into else "restore"


class JarStep(_WithWords):
    """A step in EMR's own words, given to it as it is."""

    kind: ClassVar[Kind] = Kind.JAR
    jar: str = pydantic.Field(..., description="The jar: command-runner.jar, or a URI.", regex=r"^[^\s]+$")
    main_class: str | None = pydantic.Field(None, description="The class whose main is run.", min_length=1)
    properties: dict[str, Any] = pydantic.Field({}, description="Java properties.")
    action_on_failure: word(*_ACTIONS) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="EMR's ActionOnFailure."
    )

    @pydantic.validator("jar")
    def _names_an_object(cls, value: str) -> str:
        return _object(value) if value.startswith("s3://") else value

    @pydantic.validator("properties")
    def _as_texts(cls, value: dict[str, Any]) -> dict[str, Any]:
        return texts(value)

    @pydantic.root_validator(skip_on_failure=True)
    def _is_taken(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values["jar"] == "command-runner.jar" and not values["args"]:
            raise ValueError("command-runner.jar needs args: the command to run")
        if values.get("timeout") is not None:
            raise ValueError("timeout: nothing of ours runs a jar, so nothing holds its time limit; job.timeout does")
        return values


STEP_MODELS: dict[str, type[StepSection]] = {
    str(model.kind): model for model in (NotebookStep, ScriptStep, ApplicationStep, CommandStep, RestoreStep, JarStep)
}
"""The key that makes an item of a stage a step of a kind -> the model of that kind."""


def steps_from(value: object) -> object:
    """Each item of a stage as the model of its kind.

    Raises:
        ValueError: it is no list, an item is of no kind, or of two; or, as pydantic's, what is wrong with each item, by
            its number.
    """
    if not isinstance(value, list):
        raise ValueError("must be a list of steps")
    found, errors = [], []
    for number, item in enumerate(value):
        if isinstance(item, StepSection):
            found.append(item)
            continue
        try:
            found.append(_model_of(item).validate(item))
        except ValueError as error:
            errors.append(ErrorWrapper(error, loc=str(number)))
    if errors:
        raise pydantic.ValidationError(errors, StepSection)
    return found


def _model_of(item: object) -> type[StepSection]:
    """The model of the kind that an item is of."""
    keys = list(item) if isinstance(item, dict) else []
    kinds = [kind for kind in STEP_MODELS if kind in keys]
    if len(kinds) > 1:
        raise ValueError(f"is both {kinds[0]} and {kinds[1]}: make two steps of it")
    if not kinds:
        near = [name for key in keys for name in difflib.get_close_matches(str(key), STEP_MODELS, 1)]
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"is no step: it needs one of {', '.join(STEP_MODELS)}{hint}")
    return STEP_MODELS[kinds[0]]
