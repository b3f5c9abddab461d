"""Requests of an operator to the admin listener that show or change what only he may.

The listener itself asks nobody who he is, because it is kept inside. These are signed with the
gateway's JWT secret: who has it can act for any user anyway, so that nothing new has to be kept
secret. A signature holds for a minute, for one method and one target.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final

SCHEME: Final = "Operator"
VALID_S: Final = 60


def sign(secret: bytes, method: str, target: str, now: float) -> str:
    """The value of ``Authorization`` for this request at ``now`` (Unix seconds)."""
    made = int(now)
    return f"{SCHEME} {made}.{_tag(secret, method, target, made)}"


def is_signed(
    secrets: Iterable[bytes], method: str, target: str, authorization: str, now: float
) -> bool:
    """Whether ``authorization`` was made for this request, lately, with one of these secrets."""
    scheme, _, rest = authorization.partition(" ")
    stamp, _, tag = rest.partition(".")
    if scheme != SCHEME or not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        return False
    made = int(stamp)
    if abs(now - made) > VALID_S:
        return False
    given = tag.encode("latin-1", "replace")
    good = [_tag(secret, method, target, made).encode() for secret in secrets]
    return any(hmac.compare_digest(given, one) for one in good)


def _tag(secret: bytes, method: str, target: str, made: int) -> str:
    # The words in front keep it apart from all else that has the same key.
    message = f"operator request\n{made}\n{method}\n{target}"
    return hmac.digest(secret, message.encode(), "sha256").hex()
