"""Kept answers: bounded in bytes and in time, gone when their documents are others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.kept_answers import ENTRY_BYTES, KeptAnswers

ANN, BOB = ("acme", "ann"), ("acme", "bob")
ROOM = 4 * ENTRY_BYTES


def some(limit_bytes: int = 100 * ENTRY_BYTES) -> KeptAnswers:
    return KeptAnswers(limit_bytes=limit_bytes, answer_limit_bytes=ENTRY_BYTES, ttl_s=10.0)


def data_of(kept: KeptAnswers, key: bytes, now: float = 0.0) -> bytes | None:
    found = kept.get(key, now)
    return None if found is None else found.data


def test_an_answer_ends_when_its_time_is_over() -> None:
    """Counted from when it was asked for; a sweep forgets what nobody asks for again."""
    kept = some()
    kept.put(b"k", ANN, "1", b"tea", asked_at=5.0)
    kept.put(b"l", ANN, "1", b"tea", asked_at=9.0)
    assert data_of(kept, b"k", 14.9) == b"tea"
    assert data_of(kept, b"k", 15.0) is None
    kept.sweep(18.9)
    assert len(kept) == 1
    kept.sweep(19.0)
    assert (len(kept), kept.size_bytes) == (0, 0)


def test_an_owners_answers_leave_with_the_revision_they_are_of() -> None:
    """His alone, and not those that are of the present one."""
    kept = some()
    kept.put(b"old", ANN, "1", b"tea", asked_at=0.0)
    kept.put(b"new", ANN, "2", b"tea", asked_at=0.0)
    kept.put(b"bob", BOB, "1", b"tea", asked_at=0.0)
    kept.superseded(ANN, "2")
    assert [data_of(kept, key) for key in (b"old", b"new", b"bob")] == [None, b"tea", b"tea"]


def test_the_answer_given_longest_ago_makes_room() -> None:
    """One that was given again stays."""
    kept = some(3 * ENTRY_BYTES)
    for key in (b"a", b"b", b"c"):
        kept.put(key, ANN, "1", b"", asked_at=0.0)
    kept.get(b"a", 0.0)
    kept.put(b"d", ANN, "1", b"", asked_at=0.0)
    assert [data_of(kept, key) for key in (b"a", b"b", b"c", b"d")] == [b"", None, b"", b""]


def test_copies_under_way_count_and_are_refused_where_nothing_is_left_to_go() -> None:
    """Many long answers at once take no more memory than many short ones."""
    kept = some(3 * ENTRY_BYTES)
    kept.put(b"a", ANN, "1", b"", asked_at=0.0)
    assert kept.reserve(3 * ENTRY_BYTES)
    assert len(kept) == 0
    assert not kept.reserve(1)
    kept.put(b"b", ANN, "1", b"", asked_at=0.0)
    assert len(kept) == 0
    kept.give_back(3 * ENTRY_BYTES)
    kept.put(b"b", ANN, "1", b"", asked_at=0.0)
    assert len(kept) == 1


steps = st.tuples(
    st.sampled_from(["put", "get", "read", "superseded", "reserve", "give_back", "sweep"]),
    st.sampled_from([b"a", b"b", b"c", b"d"]),
    st.sampled_from([ANN, BOB]),
    st.sampled_from(["1", "2"]),
    st.integers(0, ROOM),
    st.floats(0, 30),
)


@given(st.lists(steps, max_size=40))
def test_whatever_happens_the_bytes_stay_within_their_limit(happens: list[tuple]) -> None:  # type: ignore[type-arg]
    """And what is counted is what is there."""
    kept, reserved = some(ROOM), 0
    for what, key, owner, revision, size, now in happens:
        match what:
            case "put":
                kept.put(key, owner, revision, b"x" * size, asked_at=now)
            case "get":
                found = kept.get(key, now)
                assert found is None or found.until > now
            case "read":
                if (found := kept.get(key, -1.0)) is not None:
                    kept.keep_read(key, found, "what was read")
            case "superseded":
                kept.superseded(owner, revision)
            case "reserve":
                reserved += size if kept.reserve(size) else 0
            case "give_back":
                kept.give_back(reserved)
                reserved = 0
            case "sweep":
                kept.sweep(now)
        held = [kept.get(one, -1.0) for one in (b"a", b"b", b"c", b"d")]
        sizes = [one.size_bytes for one in held if one is not None]
        assert len(kept) == len(sizes)
        assert kept.size_bytes == sum(sizes) + reserved <= ROOM
