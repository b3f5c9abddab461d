"""Checksums of API keys: which keys this gateway made, told without asking anybody.

Six base62 digits, so a number below 62⁶. Its range says how it was made:

- below 2³²: CRC32 of all before it, as in every key of old. It shows a typo, and proves nothing:
  anybody can compute it.
- from 2³² to 2³⁵: an HMAC whose key comes from a JWT secret. These secrets are rotated, and keys
  live longer: one that no present secret made may be of an earlier one. So it proves a key, and
  refuses none.
- from 2³⁵ on: an HMAC under a secret of its own, which stays. A key that it does not fit is made
  up.
"""

from __future__ import annotations

import hmac
import string
import zlib
from collections.abc import Iterable, Sequence
from typing import Final

BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
CHARS: Final = 6
_FROM_JWT: Final = 2**32
_OWN: Final = 2**35
_END: Final = 62**CHARS
# Keeps these HMACs apart from all others that are made with the same secrets.
_PURPOSE: Final = b"api key checksum\n"


def plain_checksum(body: str) -> str:
    """The checksum of old: CRC32."""
    return _digits(zlib.crc32(body.encode("ascii")))


def is_plain(body: str, checksum: str) -> bool:
    return hmac.compare_digest(plain_checksum(body), checksum)


class KeyChecksums:
    """Args: ``jwt_secrets`` and ``own`` have the present secret first, then those of before."""

    def __init__(self, jwt_secrets: Sequence[bytes], own: Sequence[bytes] = ()) -> None:
        self._of_jwt = [hmac.digest(secret, _PURPOSE, "sha256") for secret in jwt_secrets]
        self._own = [hmac.digest(secret, _PURPOSE, "sha256") for secret in own]

    def of(self, body: str) -> str:
        """The checksum of a new key."""
        if self._own:
            return _keyed(body, self._own[0], _OWN, _END)
        return _keyed(body, self._of_jwt[0], _FROM_JWT, _OWN)

    def made(self, body: str, checksum: str) -> bool | None:
        """Whether this gateway made the key: ``None`` where its checksum cannot tell."""
        number = _number(checksum)
        if number < _FROM_JWT:
            return None if is_plain(body, checksum) else False
        if number < _OWN:
            return _fits(body, checksum, self._of_jwt, _FROM_JWT, _OWN) or None
        if not self._own:
            return None  # The secret was taken out of the settings: its keys live on.
        return _fits(body, checksum, self._own, _OWN, _END)


def _fits(body: str, checksum: str, keys: Iterable[bytes], start: int, end: int) -> bool:
    return any(hmac.compare_digest(_keyed(body, key, start, end), checksum) for key in keys)


def _keyed(body: str, key: bytes, start: int, end: int) -> str:
    digest = hmac.digest(key, body.encode("ascii"), "sha256")
    return _digits(start + int.from_bytes(digest[:16], "big") % (end - start))


def _digits(number: int) -> str:
    digits = ""
    for _ in range(CHARS):
        number, digit = divmod(number, len(BASE62))
        digits = BASE62[digit] + digits
    return digits


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number * len(BASE62) + BASE62.index(digit)
    return number
