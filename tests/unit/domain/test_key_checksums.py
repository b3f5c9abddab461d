"""What a key's checksum tells, without asking anybody."""

from __future__ import annotations

import pytest

from gateway.domain.api_keys import format_key, new_key_id, new_secret, parse_key
from gateway.domain.key_checksums import CHARS, KeyChecksums

JWT, OLDER_JWT, OWN, OLDER_OWN = (bytes([n]) * 32 for n in range(4))
FROM_JWT = KeyChecksums([JWT])
WITH_OWN = KeyChecksums([JWT], [OWN])


def made(checksums: KeyChecksums | None = None) -> str:
    return format_key(new_key_id(), new_secret(), checksums)


def verdict(text: str, checksums: KeyChecksums) -> bool | None:
    """``True``: made here, ``None``: cannot be told, ``False``: refused without a look-up."""
    parsed = parse_key(text, checksums)
    return False if parsed is None else parsed.made_here or None


def with_another_secret(text: str) -> str:
    """Made up from a real key: the id and the checksum are right, and the secret is not."""
    return text[:21] + new_secret() + text[-CHARS:]


@pytest.mark.parametrize("checksums", [FROM_JWT, WITH_OWN], ids=["from the JWT secret", "own"])
def test_a_new_key_is_known_as_ours(checksums: KeyChecksums) -> None:
    """In the length, the alphabet and with the prefix of every key."""
    for _ in range(200):
        text = made(checksums)
        assert verdict(text, checksums) is True
        assert len(text) == 70
        assert text.isascii()
        assert text.startswith("kbg_")
        assert text[-CHARS:].isalnum()


def test_a_key_of_the_old_form_proves_nothing_and_lives_on() -> None:
    """A typo in it is refused as ever."""
    old = made()
    assert verdict(old, WITH_OWN) is verdict(old, FROM_JWT) is None
    assert verdict(with_another_secret(old), WITH_OWN) is False


def test_a_made_up_key_of_the_new_form_is_refused() -> None:
    """Whoever knows an id, or had a key once, makes no other of it."""
    for _ in range(200):
        assert verdict(with_another_secret(made(WITH_OWN)), WITH_OWN) is False


def test_a_rotated_jwt_secret_ends_no_key() -> None:
    """While the old one is there the key is known as ours, and later it is looked up."""
    text = made(KeyChecksums([OLDER_JWT]))
    assert verdict(text, KeyChecksums([JWT, OLDER_JWT])) is True
    assert verdict(text, KeyChecksums([JWT])) is None
    assert verdict(text, KeyChecksums([JWT], [OWN])) is None


def test_a_secret_of_its_own_is_rotated_with_the_previous_one() -> None:
    """Set or taken away again, it ends no key that was made before."""
    text = made(KeyChecksums([JWT], [OLDER_OWN]))
    assert verdict(text, KeyChecksums([JWT], [OWN, OLDER_OWN])) is True
    assert verdict(text, KeyChecksums([JWT], [OWN])) is False
    assert verdict(text, KeyChecksums([JWT])) is None
    assert verdict(made(FROM_JWT), WITH_OWN) is True
