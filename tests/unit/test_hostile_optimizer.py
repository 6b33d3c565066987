"""An optimizer that answers anything, to every event that a servo posts: nothing of ours stumbles over it.

What servox does with a reply that it cannot read is servox's own: its process ends, and is started again. Whatever was
answered: no exception passes through our code, nothing is launched that servo.yaml does not allow, and nothing is left.
"""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Iterator

import pytest
import servo
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from servo_emr.domain.spec import Role
from tests.support.hostile import COMMANDS, REPLIES, Conversation, Reply, leaping, leaves_of
from tests.support.sampled import sampled

# servox posts by an argument that httpx wants to be called otherwise
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPLIES_EACH = 20
ASKED = frozenset({"HELLO", "WHATS_NEXT", "DESCRIPTION"})
RESULTS = frozenset({"ADJUSTMENT", "MEASUREMENT", "MEASUREMENT progress"})
FUZZED = [(1_000, ASKED), (5_000, ASKED | RESULTS)]
"""How many replies, and the events that are among those that get them: few conversations come as far as a result."""
SERVOX = {
    "AttributeError",  # a status where a command was expected, or the other way round
    "TypeError",  # SLEEP without data, a param that is no object
    "KeyError",  # ADJUST without state, a component without settings
    "ValueError",  # a status of progress that servox does not know
    "ValidationError",  # a command, or a status, with a member of another type
    "JSONDecodeError",  # an answer that is no JSON
    "RecursionError",  # JSON that is nested without end
    "OverflowError",  # a time to sleep beyond all bounds
    "HTTPStatusError",  # 4xx and 5xx
    "UnexpectedEventError",  # what servox itself raises for the statuses of progress
    "UnexpectedCommandIdError",
    "EventCancelledError",
}
"""What a servo's process may end with: docs/promises.md has the same."""


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """Nobody reads what is logged of thousands of replies; servox posts progress by logging it, so it goes on."""
    servo.logger.remove()
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    servo.logging.reset_to_defaults()


def frames_of_ours(error: BaseException) -> list[str]:
    """The lines of our code through which an exception passed."""
    return [str(frame) for frame in traceback.extract_tb(error.__traceback__) if "/servo_emr/" in frame.filename]


def check(talk: Conversation) -> None:
    """What must hold after a conversation."""
    for end in talk.ended:
        for error in leaves_of(end):
            shown = "".join(traceback.format_exception(error))
            assert frames_of_ours(error) == [], shown
            assert type(error).__name__ in SERVOX, shown
    world, space = talk.front.world, talk.front.config.space
    assert world.target.alive == []
    for cluster in world.target.clusters:
        counts = {group.role: group.count for group in cluster.spec.groups}
        types = {group.role: group.inst_type for group in cluster.spec.groups}
        assert 2 <= counts[Role.CORE] <= 12, cluster.spec.groups
        assert types[Role.CORE] in ("m5.xlarge", "c5.xlarge", "r5.xlarge"), cluster.spec.groups
        assert (types[Role.PRIMARY], counts[Role.PRIMARY], len(counts)) == ("m5.xlarge", 1, 2), cluster.spec.groups
        assert cluster.spec.region == "us-east-1"
        assert cluster.spec.cluster == talk.front.config.to_spec().cluster, "the optimizer chooses among settings alone"
    assert len(space.configured) == 3


def many(number: int) -> settings:
    return settings(
        max_examples=number,
        phases=(Phase.generate, Phase.shrink),  # to explain a failure hypothesis traces every line from the beginning
        deadline=None,
        derandomize=True,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("replies", "answered"), sampled(FUZZED, FUZZED[0]))
def test_whatever_an_optimizer_replies_nothing_of_ours_stumbles_and_nothing_is_left(
    replies: int, answered: frozenset[str]
) -> None:
    given_out: Counter[str] = Counter()

    # The last replies of a conversation may come to nobody: a few conversations more.
    @many(replies // REPLIES_EACH * 51 // 50)
    @given(st.lists(REPLIES, min_size=REPLIES_EACH, max_size=REPLIES_EACH))
    def converse(said: list[Reply]) -> None:
        with leaping() as loop:
            talk = Conversation(list(said))
            talk.take_place(loop)
        check(talk)
        given_out.update(talk.given)

    converse()
    assert given_out.total() >= replies, given_out
    assert set(given_out) >= answered


@pytest.mark.timeout(900)
def test_whatever_a_command_holds_only_what_servo_yaml_allows_is_launched() -> None:
    launches = 0

    @many(30)
    @given(st.lists(COMMANDS, min_size=REPLIES_EACH, max_size=REPLIES_EACH))
    def converse(commands: list[Reply]) -> None:
        nonlocal launches
        with leaping() as loop:
            talk = Conversation(list(commands), fair=True)
            talk.take_place(loop)
        check(talk)
        launches += len(talk.front.world.target.clusters)

    converse()
    assert launches > 0, "what is allowed is launched"
