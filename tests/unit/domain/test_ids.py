"""Identifiers: spelled as the contract says, sorted by time, never made twice."""

from __future__ import annotations

import os
import sys

import pytest

from gateway.domain.ids import is_uuid7, new_uuid7

NOW = 1_800_000_000.5


def test_an_id_is_a_uuid_of_version_7() -> None:
    """Whatever the random bits are."""
    for entropy in (bytes(10), b"\xff" * 10, None):
        assert is_uuid7(new_uuid7(NOW, entropy))


def test_ids_sort_by_the_millisecond_they_were_made_in() -> None:
    """Also from the last random value of one to the first of the next."""
    assert new_uuid7(NOW, b"\xff" * 10) < new_uuid7(NOW + 0.001, bytes(10))


def test_ids_of_one_moment_differ() -> None:
    assert len({new_uuid7(NOW) for _ in range(10_000)}) == 10_000


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_process_makes_ids_of_its_own() -> None:
    """Workers are forked from one process and would otherwise go through the same numbers."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(theirs, new_uuid7(NOW).encode())
        os._exit(0)
    mine = new_uuid7(NOW)
    os.waitpid(child, 0)
    childs = os.read(ours, 100).decode()
    os.close(ours)
    os.close(theirs)
    assert is_uuid7(childs)
    assert childs != mine
