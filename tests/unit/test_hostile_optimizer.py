"""An optimizer that answers anything, to every event that a servo posts: nothing but servox itself stumbles over it.

What servox does with a reply that it cannot read is servox's own: its process ends, and is started again. Those ends
are listed here, and in docs/promises.md. Whatever was answered: no exception passes through our code, no cluster is
launched that servo.yaml does not allow, and none is left.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator

import loguru
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.hostile import REPLIES, Conversation, Reply, leaping, leaves_of

A_CONVERSATION = 20
SEEN = Counter()


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """What servox logs of thousands of replies is of no interest."""
    for name in ("servo_emr", "servo"):
        loguru.logger.disable(name)
    yield
    for name in ("servo_emr", "servo"):
        loguru.logger.enable(name)


def ours(error: BaseException) -> list[str]:
    """The lines of our code through which an exception passed."""
    return [str(frame) for frame in traceback.extract_tb(error.__traceback__) if "/servo_emr/" in frame.filename]


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(REPLIES, min_size=A_CONVERSATION, max_size=A_CONVERSATION))
def test_no_reply_of_an_optimizer_makes_the_servo_stumble_or_launch_what_is_not_allowed(replies: list[Reply]) -> None:
    with leaping() as loop:
        talk = Conversation(list(replies))
        talk.take_place(loop)
    for end in talk.ended:
        for error in leaves_of(end):
            SEEN[type(error).__name__] += 1
            assert ours(error) == [], traceback.format_exception(error)
    world = talk.front.world
    assert world.target.alive == []
    for post in talk.posted:
        SEEN[post["event"]] += 1
    SEEN["clusters"] += len(world.target.clusters)
    for cluster in world.target.clusters:
        print(cluster)


def test_z():
    print(SEEN)
    assert 0
