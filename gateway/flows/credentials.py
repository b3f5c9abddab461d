"""What a request brought to prove who it is: found among its headers, and not looked at yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.domain.api_keys import PREFIX
from gateway.domain.identity import AuthMethod
from gateway.errors import AmbiguousCredentials, Unauthenticated

# RFC 6750, section 2.1: SP and HTAB are what may separate scheme and token.
_BLANKS = " \t"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request brought to prove who it is.

    ``kind`` is what it looks like: whose token a ``jwt`` is, the authentication methods find out.
    """

    kind: AuthMethod
    text: str = field(repr=False)


def credentials(
    authorization: Sequence[str], api_key: Sequence[str], session: Sequence[str] = ()
) -> Credential | None:
    """The one credential among the values of ``Authorization``, ``X-API-Key`` and the session
    cookie; ``None``: none.

    Raises:
        AmbiguousCredentials: one of them twice (also joined by a proxy, with a comma), or two.
        Unauthenticated: another scheme than Bearer, or nothing behind the name.
    """
    sent = [*authorization, *api_key, *session]
    if not sent:
        return None
    if len(sent) > 1 or "," in sent[0]:
        raise AmbiguousCredentials(reason="ambiguous")
    text = sent[0].strip(_BLANKS)
    if authorization:
        text = _bearer(text)
    if not text:
        raise Unauthenticated(reason="empty")
    if session:
        return Credential("session", text)
    is_key = bool(api_key) or text.startswith(PREFIX)
    return Credential("api_key" if is_key else "jwt", text)


def _bearer(text: str) -> str:
    scheme, _, rest = text.replace("\t", " ").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated(reason="scheme")
    return rest.strip(_BLANKS)
