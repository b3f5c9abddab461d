"""API keys: their spelling, and when one still stands."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.api_keys import (
    LIFETIME_LIMIT_S,
    KeyRecord,
    KeySecret,
    format_key,
    is_dead,
    is_key_id,
    matching_secret,
    new_key_id,
    new_secret,
    parse_key,
    request_faults,
    rotated,
    secret_hash,
)

NOW = 1_800_000_000.0
ALLOWED = frozenset({"query:run", "documents:list"})


def record(*secrets: KeySecret, **changes: object) -> KeyRecord:
    fields = {
        "key_id": new_key_id(),
        "tenant": "acme",
        "owner": "alice",
        "name": "laptop",
        "scopes": frozenset({"query:run"}),
        "secrets": secrets,
        "created_at": int(NOW),
    }
    return KeyRecord(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_key_reads_back_as_what_it_was_made_of() -> None:
    """Spelled and parsed, id and secret are the same; the shape is the contract's."""
    key_id, secret = new_key_id(), new_secret()
    text = format_key(key_id, secret)
    parsed = parse_key(text)
    assert parsed is not None
    assert (parsed.key_id, parsed.secret) == (key_id, secret)
    assert text.startswith(f"kbg_{key_id}_{secret}")
    assert len(text) == 70
    assert secret not in repr(parsed)


@given(st.integers(0, 69), st.sampled_from(string.ascii_letters + string.digits + "_- \n\0é"))
def test_one_wrong_character_is_always_noticed(place: int, other: str) -> None:
    """A typo never costs a look-up."""
    text = format_key(new_key_id(), new_secret())
    if text[place] != other:
        assert parse_key(text[:place] + other + text[place + 1 :]) is None


@pytest.mark.parametrize("cut", [slice(1, None), slice(None, -1), slice(0, 0), slice(4, None)])
def test_a_key_cut_short_is_noticed(cut: slice) -> None:
    """Copy and paste loses ends."""
    assert parse_key(format_key(new_key_id(), new_secret())[cut]) is None


def test_a_trailing_newline_is_not_part_of_a_key() -> None:
    """``$`` in a pattern would let it through."""
    assert parse_key(format_key(new_key_id(), new_secret()) + "\n") is None


@pytest.mark.parametrize(
    "text",
    ["", "a" * 15, "a" * 17, "A" * 16, "a" * 15 + "1", "a" * 15 + "/", "a" * 16 + "\n", ".."],
)
def test_other_spellings_are_no_ids(text: str) -> None:
    """They become object keys only in the one spelling."""
    assert not is_key_id(text)
    assert is_key_id(new_key_id())


def test_a_secret_matches_its_own_hash_alone() -> None:
    """Any of a record's secrets opens it; what is stored shows none of them."""
    old, new = new_secret(), new_secret()
    key = record(KeySecret(secret_hash(new)), KeySecret(secret_hash(old), int(NOW) + 60))
    assert matching_secret(key, new) == key.secrets[0]
    assert matching_secret(key, old) == key.secrets[1]
    assert matching_secret(key, new_secret()) is None
    assert matching_secret(key, secret_hash(new)) is None
    assert secret_hash(new) not in repr(key)


def test_rotation_ends_every_older_secret_with_the_overlap_at_the_latest() -> None:
    """A shorter end is kept, none is prolonged, and what has ended is dropped."""
    now = int(NOW)
    key = record(KeySecret("a"), KeySecret("b", now + 10), KeySecret("c", now))
    after = rotated(key, "fresh", NOW, 60)
    assert after.secrets == (
        KeySecret(secret_hash("fresh")),
        KeySecret("a", now + 60),
        KeySecret("b", now + 10),
    )


def test_rotation_without_overlap_leaves_the_new_secret_alone() -> None:
    """For a secret that leaked."""
    assert len(rotated(record(KeySecret("a")), "fresh", NOW, 0).secrets) == 1


def test_a_key_is_dead_when_revoked_or_over() -> None:
    """To the second, and for ever."""
    now = int(NOW)
    assert not is_dead(record(), now)
    assert not is_dead(record(expires_at=now + 1), now)
    assert is_dead(record(expires_at=now), now)
    assert is_dead(record(revoked_at=now - 100), now)


@pytest.mark.parametrize(
    ("name", "scopes", "expires_in_s", "fields"),
    [
        ("laptop", ["query:run"], None, set()),
        ("läptop ☃", ["query:run", "documents:list"], LIFETIME_LIMIT_S, set()),
        ("", ["query:run"], None, {"name"}),
        (" ", ["query:run"], None, {"name"}),
        ("a\nb", ["query:run"], None, {"name"}),
        ("x" * 101, ["query:run"], None, {"name"}),
        ("laptop", [], None, {"scopes"}),
        ("laptop", ["query:run", "nonsense"], None, {"scopes[1]"}),
        ("laptop", ["keys:create"], None, {"scopes[0]"}),
        ("laptop", ["query:run"], 0, {"expires_in"}),
        ("laptop", ["query:run"], -1, {"expires_in"}),
        ("laptop", ["query:run"], LIFETIME_LIMIT_S + 1, {"expires_in"}),
        ("", [], 0, {"name", "scopes", "expires_in"}),
    ],
)
def test_every_fault_of_a_wish_is_named(
    name: str, scopes: list[str], expires_in_s: int | None, fields: set[str]
) -> None:
    """All at once, each under its field."""
    assert request_faults(name, scopes, expires_in_s, ALLOWED).keys() == fields
