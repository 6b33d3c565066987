"""Runs papermill, in a process of its own, and tells run_notebook.py how it goes. Python 3.7 to 3.12.

Copied to the cluster with run_notebook.py, which starts it. The standard library and papermill only; it writes the
executed notebook, through papermill, and nothing else. Lines of JSON go out by a pipe: {"cells", "papermill"} once,
{"cell_index"} for each cell that starts, and at the end one outcome, which is all that result.json says of the job.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import traceback
from typing import Any, Callable, Dict

sys.path.append(sys.prefix)  # where the bootstrap action puts the other files
import servo_emr_outputs  # type: ignore[import-not-found]
from servo_emr_processes import MARK, adopt_orphans, kill_all  # type: ignore[import-not-found]

ERROR_BANNER, INJECTED = "papermill-error-cell-tag", "injected-parameters"  # papermill's tags for cells it puts in
NAME_LIMIT, VALUE_LIMIT, TRACEBACK_LIMIT = 200, 4000, 16000  # characters: result.json stays small whatever a cell says
WAITING = 100  # messages of the kernel that wait to be read
READING_S = 30  # of a cell that has ended, for the rest of what it has shown to be read; nbclient's own 4 s cut off
ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")

Message = Dict[str, Any]
Tell = Callable[[Message], None]


def tags(cell: Any) -> list[str]:
    return cell.get("metadata", {}).get("tags") or []


def input_places(before: list[Any], after: list[Any]) -> list[int | None]:
    """For each cell that papermill runs its index in the input notebook, None for one that papermill put in."""
    places: list[int | None] = [index for index, cell in enumerate(before) if ERROR_BANNER not in tags(cell)]
    if len(after) > len(places):
        places.insert(next(index for index, cell in enumerate(after) if INJECTED in tags(cell)), None)
    return places


class Course:
    """Where papermill is: `places` as `input_places` gives them, `at` the index of the cell that runs; its kernel."""

    def __init__(self) -> None:
        self.places: list[int | None] = []
        self.at: int | None = None
        self.manager: Any = None
        self.kernel: Any = None

    def meet_kernel(self) -> None:
        """Keeps hold of the kernel's process while there is one: jupyter_client forgets it once it has ended."""
        if self.kernel is None:
            self.kernel = getattr(getattr(self.manager, "provisioner", None), "process", None)

    def kernel_exit(self) -> int | None:
        """How the kernel ended: its exit status, -n for signal n; None when nobody can tell."""
        status = None if self.kernel is None else self.kernel.poll()
        return status if isinstance(status, int) else None

    def place(self, index: int | None) -> int | None:
        return None if index is None else self.places[index]


def make_engine(before: list[Any], course: Course, tell: Tell) -> Any:
    """Papermill's own engine, which also tells where it is, marks each cell with its index in the input, and keeps
    what cells show within bounds."""
    import zmq
    from jupyter_client.manager import AsyncKernelManager
    from papermill import engines
    from papermill.engines import NBClientEngine

    # Papermill's engine makes its client itself and takes no other. This process runs one notebook and ends.
    engines.PapermillNotebookClient = servo_emr_outputs.bounded(engines.PapermillNotebookClient)

    class Manager(AsyncKernelManager):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            # What has come and is not read yet is counted in messages, however large: the kernel holds back a
            # thousand more.
            self.context.setsockopt(zmq.RCVHWM, WAITING)
            course.manager = self

    class Engine(NBClientEngine):  # type: ignore[misc]  # papermill ships no types
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            course.places = input_places(before, nb_man.nb.cells)
            for place, cell in zip(course.places, nb_man.nb.cells):
                cell.metadata.pop("servo_emr", None)
                if place is not None:
                    cell.metadata["servo_emr"] = {"cell": place}
            papermills_own = nb_man.cell_start

            def cell_start(cell: Any, cell_index: int, **more: Any) -> Any:
                course.at = cell_index
                course.meet_kernel()
                tell({"cell_index": course.place(cell_index)})
                return papermills_own(cell, cell_index, **more)

            nb_man.cell_start = cell_start
            try:
                # A kernel that prints faster than anybody reads loses messages, its own "idle" among them: what the
                # cell came to is told by its reply.
                options.update(kernel_manager_class=Manager, iopub_timeout=READING_S, raise_on_iopub_timeout=False)
                return super().execute_managed_notebook(nb_man, kernel_name, **options)
            except Exception:
                # Otherwise papermill calls this cell and all that follow completed: a dead kernel looks like success.
                if course.at is not None:
                    nb_man.cell_exception(nb_man.nb.cells[course.at], cell_index=course.at)
                raise

    return Engine


def bounded(text: object, limit: int) -> str:
    """`text` without terminal colours, its middle left out when it is longer than `limit` characters."""
    plain = ANSI.sub("", str(text))
    if len(plain) <= limit:
        return plain
    head, tail = limit // 4, limit - limit // 4
    return f"{plain[:head]}\n[... {len(plain) - limit} characters left out ...]\n{plain[-tail:]}"


def outcome(
    status: str,
    ename: object = "",
    evalue: object = "",
    trace: object = "",
    cell_index: int | None = None,
    kernel_died: bool = False,
    kernel_exit: int | None = None,
) -> Message:
    return {
        "status": status,
        "cell_index": cell_index,
        "ename": bounded(ename, NAME_LIMIT),
        "evalue": bounded(evalue, VALUE_LIMIT),
        "traceback": bounded(trace, TRACEBACK_LIMIT),
        "kernel_died": kernel_died,
        "kernel_exit": kernel_exit,
    }


def run_papermill(job: Message, tell: Tell) -> Message:
    """Runs the notebook and returns its outcome; every error becomes one."""
    course = Course()
    try:
        notebook = execute(job, course, tell)
    except Exception as error:  # noqa: BLE001  # whatever it is, result.json has to say it
        name = type(error).__name__
        if name == "PapermillExecutionError":
            cell: Any = error
            return outcome("failed", cell.ename, cell.evalue, "\n".join(cell.traceback), course.place(cell.cell_index))
        died = name == "DeadKernelError"
        place = course.place(course.at)
        status = course.kernel_exit() if died else None
        return outcome("failed" if died else "error", name, error, traceback.format_exc(), place, died, status)
    for place, cell in zip(course.places, notebook.cells):
        for output in cell.get("outputs", ()):
            if output.output_type == "error":  # papermill lets sys.exit(0) pass, and the cells after it did not run
                return outcome("failed", output.ename, output.evalue, "\n".join(output.traceback), place)
    return outcome("succeeded")


def execute(job: Message, course: Course, tell: Tell) -> Any:
    import papermill
    from papermill.engines import papermill_engines
    from papermill.iorw import load_notebook_node

    notebook = load_notebook_node(job["input"])
    before = notebook.cells
    tell({"cells": len(before), "papermill": papermill.__version__})
    papermill_engines.register("servo_emr", make_engine(before, course, tell))
    return papermill.execute_notebook(
        job["input"].replace("{", "{{").replace("}", "}}"),  # papermill takes paths for format strings
        job["output"].replace("{", "{{").replace("}", "}}"),
        parameters=job["parameters"],
        engine_name="servo_emr",
        kernel_name=job["kernel"],
        language=language(notebook, job["kernel"]),
        progress_bar=False,
        log_output=False,
    )


def language(notebook: Any, kernel: str | None) -> str | None:
    """What papermill is to be told of a notebook that does not name its language, as one made by a program may not:
    the language that the kernel itself names. None: the notebook's own word stands."""
    named = notebook.metadata.get("kernelspec", {}).get("language")
    if kernel is None or named or notebook.metadata.get("language_info", {}).get("name"):
        return None
    from jupyter_client.kernelspec import KernelSpecManager

    found: str = KernelSpecManager().get_kernel_spec(kernel).language
    return found


def child_main(report_fd: int, lifeline_fd: int) -> None:
    """The child's whole life: the job comes in on stdin, lines of JSON go out, the supervisor's death is its own."""
    for fd in (report_fd, lifeline_fd):
        os.set_inheritable(fd, False)
    job = json.loads(sys.stdin.buffer.read().decode("ascii"))

    def die_with_supervisor() -> None:
        os.read(lifeline_fd, 1)  # nothing is ever written: it returns when the other end is closed
        kill_all(f"{MARK}={os.environ[MARK]}".encode("ascii"))
        os._exit(1)

    adopt_orphans()
    threading.Thread(target=die_with_supervisor, daemon=True).start()
    with os.fdopen(report_fd, "w", encoding="ascii") as report:

        def tell(message: Message) -> None:
            report.write(json.dumps(message) + "\n")
            report.flush()

        tell(run_papermill(job, tell))


if __name__ == "__main__":
    child_main(int(sys.argv[1]), int(sys.argv[2]))
