"""A browser's session: what is kept of the ID token that a sign-in ended in, sealed in a cookie.

It has what an access to the gateway is decided by, and nothing that is worth something elsewhere:
the provider's tokens are dropped. It ends with the token that it stands for, and whatever ends that
token ends it, because it has the token's id.
"""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.domain.cookies import COOKIE_LIMIT_BYTES
from gateway.errors import Forbidden

# What its seal is for, as ``ports.Seals`` has it.
SESSION: Final = "session"
# Base64 makes four bytes of three; salt, nonce and tag are 45.
CONTENT_LIMIT_BYTES: Final = (COOKIE_LIMIT_BYTES - 100) * 3 // 4 - 45


class Session(msgspec.Struct, frozen=True, array_like=True):
    """Times are Unix seconds.

    Attributes:
        token_id: the token's, as revocations and the log name it.
        generation: that of the subject when it signed in; see ``revocations.EndedTokens``.
        name: what people call the subject; for showing alone.
        key: the thumbprint of the key that the token was signed with.
    """

    subject: str
    tenant: str
    roles: tuple[str, ...]
    name: str | None
    issued_at: int
    expires_at: int
    token_id: str
    generation: int
    key: str


def encoded(session: Session) -> bytes:
    """
    Raises:
        Forbidden: no cookie can hold it, because of its many roles.
    """
    content = msgspec.json.encode(session)
    if len(content) > CONTENT_LIMIT_BYTES:
        raise Forbidden("You have more roles here than a browser's session can hold.")
    return content


def decoded(content: bytes) -> Session | None:
    """``None`` for what another version of the gateway sealed."""
    try:
        return msgspec.json.decode(content, type=Session)
    except msgspec.DecodeError:
        return None
