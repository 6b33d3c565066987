"""`aws.gzipped`: every piece that can be read is given, and then what is wrong is said."""

from __future__ import annotations

import gzip
import os

import pytest

from servo_emr.aws.gzipped import DAMAGED, pieces

NOISE = os.urandom(3 << 20)


def test_all_members_are_given_and_what_blocks_are_filled_up_with_is_not() -> None:
    assert b"".join(pieces(gzip.compress(b"one ") + gzip.compress(b"two") + bytes(512))) == b"one two"
    assert list(pieces(b"")) == []


def test_no_piece_is_larger_than_a_mebibyte_however_well_it_is_packed() -> None:
    given = list(pieces(gzip.compress(bytes(5 << 20))))
    assert max(map(len, given)) <= 1 << 20
    assert b"".join(given) == bytes(5 << 20)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (gzip.compress(NOISE)[: 2 << 20], EOFError),
        (gzip.compress(NOISE)[: 2 << 20] + bytes(1 << 20), DAMAGED),
        (gzip.compress(NOISE) + b"no gzip", DAMAGED),
    ],
    ids=["cut off", "zeros in the middle", "something else behind it"],
)
def test_what_comes_before_the_error_is_given(body: bytes, error: type[Exception]) -> None:
    given = bytearray()
    with pytest.raises(error):
        for piece in pieces(body):
            given += piece
    assert len(given) > 1 << 20
    assert NOISE.startswith(given[:2_000_000])
