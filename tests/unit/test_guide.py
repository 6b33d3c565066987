"""How pages are compared with what their commands say: what counts as the same, and what does not."""

from __future__ import annotations

import pytest

from tests.support.guide import Command, commands, difference, files

PAGE = """\
<!-- file: a.yaml -->
```yaml
key: 1
```

```console
$ servo-emr one
first
...
last
$ servo-emr two > out
```

<!-- figures differ -->
```console
$ servo-emr three
took 12.5 s
```
"""


def test_a_page_is_read_as_files_and_commands_with_what_they_say() -> None:
    assert files(PAGE) == {"a.yaml": "key: 1\n"}
    assert commands(PAGE) == [
        Command("servo-emr one", "first\n...\nlast"),
        Command("servo-emr two > out"),
        Command("servo-emr three", "took 12.5 s", True),
    ]


@pytest.mark.parametrize(
    ("shown", "said", "figures_differ"),
    [
        ("first\n...\nlast", "first\nsecond\nthird\nlast\n", False),
        ("first\n...", "first\nsecond\n", False),
        ("...\nlast", "last\n", False),
        ("run 20261128t180303-20c87196  USD", "run 20251128t180303-20c87197    USD\n", False),
        ("at http://127.0.0.1:39599", "at http://127.0.0.1:1\n", False),
        ("took 12.5 s", "took 7 s", True),
        (None, "anything", False),
    ],
)
def test_what_may_differ_does_not_count(shown: str | None, said: str, figures_differ: bool) -> None:
    assert difference(Command("x", shown, figures_differ), said) == ""


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("first", "second\n"),
        ("first", ""),
        ("first", "first\nsecond\n"),
        ("first\n...\nlast", "first\nsecond\n"),
        ("first\n...\nlast", "first\nlast\nmore\n"),
        ("took 12.5 s", "took 7 s\n"),
    ],
)
def test_anything_else_is_a_difference(shown: str, said: str) -> None:
    assert difference(Command("x", shown), said) != ""
