"""Sealed texts: made and read by whoever has the secret, and by nobody else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.aes_seals import AesSeals
from gateway.ports import Opened

SECRET, OTHER = b"a secret of thirty-two bytes....", b"another secret of its own......."
SEALS = AesSeals([SECRET], ("https://login.example.com", "kb"))


@given(st.binary(max_size=2000))
def test_what_was_sealed_is_opened_at_any_replica(content: bytes) -> None:
    """With the same secret, for the same purpose; no two texts are alike."""
    text = SEALS.seal("session", content)
    there = AesSeals([SECRET], ("https://login.example.com", "kb"))
    assert there.opened("session", text) == Opened(content, SECRET)
    assert SEALS.seal("session", content) != text
    assert text.isascii()


@given(st.binary(max_size=200), st.data())
def test_a_text_that_was_changed_anywhere_is_none(content: bytes, data: st.DataObject) -> None:
    """One bit of any byte, one letter more or less."""
    whole = bytearray(_whole(SEALS.seal("session", content)))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    assert SEALS.opened("session", _text(whole)) is None
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert SEALS.opened("session", _text(whole[:cut])) is None


def test_it_is_good_for_its_purpose_and_provider_alone() -> None:
    """A sign-in's cookie is no session; another provider's, or client's, is nothing here."""
    text = SEALS.seal("session", b"content")
    assert SEALS.opened("sign-in", text) is None
    for bound_to in ((), ("https://login.example.com",), ("https://login.example.com", "other")):
        assert AesSeals([SECRET], bound_to).opened("session", text) is None
    # Nor does one list of parts pass for another.
    one, other = AesSeals([SECRET], ("a", "b")), AesSeals([SECRET], ('a","b',))
    assert other.opened("session", one.seal("session", b"content")) is None


def test_secrets_are_rotated() -> None:
    """The first one seals, all open; one that is gone opens nothing any more."""
    old = AesSeals([SECRET]).seal("session", b"old")
    both = AesSeals([OTHER, SECRET])
    fresh = both.seal("session", b"new")
    assert both.opened("session", old) == Opened(b"old", SECRET)
    assert AesSeals([OTHER]).opened("session", fresh) == Opened(b"new", OTHER)
    assert AesSeals([SECRET]).opened("session", fresh) is None
    assert both.holds(SECRET)
    both.use([OTHER], ())
    assert both.opened("session", old) is None
    assert not both.holds(SECRET)
    assert both.opened("session", fresh) == Opened(b"new", OTHER)


@pytest.mark.parametrize("end", ["=", " ", "\n", "+", "/", "ü"])
def test_each_text_has_one_spelling(end: str) -> None:
    text = SEALS.seal("session", b"content")
    assert SEALS.opened("session", text + end) is None


def test_unused_bits_of_the_last_letter_are_no_second_spelling() -> None:
    text = next(text for n in range(3) if len(text := SEALS.seal("s", b"x" * n)) % 4 != 0)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [text[:-1] + letter for letter in letters if letter != text[-1]]
    assert [SEALS.opened("s", one) for one in others] == [None] * 63


@pytest.mark.parametrize("text", ["", "A", "AQ", "x" * 4097, "A" * 4096, "=" * 40])
def test_anything_else_is_none(text: str) -> None:
    assert SEALS.opened("session", text) is None


def _whole(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(whole: bytes | bytearray) -> str:
    return base64.urlsafe_b64encode(whole).rstrip(b"=").decode("ascii")
