"""Keeps what a notebook's cells show within bounds while they run: it may print without end. Python 3.7 to 3.12.

Copied to the cluster with servo_emr_child.py, which uses it. The standard library only. Of what is printed the end is
kept, because of several values of a metric the last one counts.
"""

from __future__ import annotations

from collections import deque
from typing import Any

STREAMS = 16 * 1024 * 1024  # characters of all that the notebook prints
PIECE = 64 * 1024  # characters in which what is printed is kept and left out
LARGE = 64 * 1024  # characters from which on a shown value counts as large; smaller ones are always kept
VALUES = 16 * 1024 * 1024  # characters of all large values
ERROR = 1024 * 1024  # characters of an error's texts

LEFT_OUT = "[left out: the notebook printed more than is kept, which is the end of it]\n"


class Bounds:
    """Of one notebook. `kept`: the printed pieces, oldest first; `printed`, `shown`: their and large values' sizes."""

    def __init__(self) -> None:
        self.kept: deque[Any] = deque()
        self.printed = 0
        self.shown = 0

    def hold(self, outputs: Any) -> None:
        """Called when an output was appended to a cell's `outputs`."""
        last = outputs[-1]
        if last.output_type == "stream":
            self.stream(outputs, last)
        elif last.output_type == "error":
            last.evalue = last.evalue[:ERROR]
            last.traceback = ["\n".join(last.traceback)[-ERROR:]]
        elif "data" in last:
            self.value(last)

    def stream(self, outputs: Any, last: Any) -> None:
        last.text = last.text[-STREAMS:]
        self.printed += len(last.text)
        before: Any = outputs[-2] if len(outputs) > 1 else None
        same = before is not None and before.output_type == "stream" and before.name == last.name
        if same and len(before.text) < PIECE:
            before.text += last.text
            outputs.pop()
            last = before
        if not self.kept or self.kept[-1] is not last:
            self.kept.append(last)
        while self.printed > STREAMS and len(self.kept) > 1:
            oldest = self.kept.popleft()
            self.printed -= len(oldest.text)
            # Emptied and not removed: whoever updates a display later counts the outputs before it.
            oldest.text = ""
            if not self.kept[0].text.startswith(LEFT_OUT):
                self.kept[0].text = LEFT_OUT + self.kept[0].text
                self.printed += len(LEFT_OUT)

    def value(self, last: Any) -> None:
        size = sum(len(str(content)) for content in last.data.values())
        if size < LARGE:
            return
        if self.shown + size > VALUES:
            last.data = {"text/plain": f"[left out: {size} characters, more than is kept of large values]"}
            return
        self.shown += size


def bounded(client: Any) -> Any:
    """nbclient's client, as a class that keeps within the bounds."""

    class Client(client):  # type: ignore[misc]  # nbclient is no package of this machine's types
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.bounds = Bounds()

        def output(self, outs: Any, *arguments: Any, **more: Any) -> Any:
            out = super().output(outs, *arguments, **more)
            if out is not None:
                self.bounds.hold(outs)
            return out

    return Client
