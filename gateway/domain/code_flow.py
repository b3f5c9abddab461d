"""Signing in at the company's provider: the authorization code flow with PKCE, all but its calls.

What flows which way: ``begin`` makes three random values and a place to return to; the browser
carries them, sealed, in a cookie (``domain.cookies``), and the provider gets the state, the nonce
and a digest of the verifier. What comes back has to belong to a cookie (``belonging``) and to be
the provider's (``code_of``); its code is redeemed with the verifier, and the token for it names the
nonce. So no replica remembers a sign-in, and any of them can finish it.

- ``state``: the answer belongs to a sign-in that this very browser began.
- ``verifier``: a code that was begun elsewhere, or stolen on its way, is redeemed by nobody else.
- ``nonce``: the token was made for this sign-in.
- ``iss`` (RFC 9207): the answer is the provider's that was asked, and no other's.

Sources: RFC 6749 (4.1), RFC 7636, RFC 9207, RFC 9700 (2.1, 4.4), OpenID Connect Core 1.0 (3.1).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

from gateway.errors import SignInFailed, SignInUnavailable, ValidationFailed

# How long a person may take at the provider, with a forgotten password and a second factor.
SIGN_IN_S: Final = 600
# It travels in a cookie, and a browser sends several of those.
RETURN_TO_LIMIT_CHARS: Final = 512
CODE_LIMIT_CHARS: Final = 4096

# A path of this origin. ``//host`` and ``/\host`` are other origins to a browser, which also drops
# tabs and line breaks before it looks: visible ASCII alone, and no backslash.
_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*\Z")
_CODE = re.compile(r"[\x20-\x7e]+\Z")
# What a provider may say in place of a code (RFC 6749, 4.1.2.1; OpenID Connect Core, 3.1.2.6).
# Other words are upstream text, which nobody is shown.
_ITS_OWN_FAULT: Final = frozenset({"server_error", "temporarily_unavailable"})
_SAID: Final = frozenset(
    {
        *("access_denied", "account_selection_required", "consent_required"),
        *("interaction_required", "invalid_request", "invalid_request_object"),
        *("invalid_request_uri", "invalid_scope", "login_required", "registration_not_supported"),
        *("request_not_supported", "request_uri_not_supported", "unauthorized_client"),
        "unsupported_response_type",
    }
)


@dataclass(frozen=True, slots=True)
class Client:
    """What the gateway is to the provider.

    Attributes:
        issuer: the provider, as it names itself.
        public_url: where browsers reach the gateway.
        scope: what is asked for, parted by blanks; ``openid`` among it.
    """

    issuer: str
    client_id: str
    public_url: str
    scope: str


class Begun(msgspec.Struct, frozen=True, array_like=True):
    """A sign-in that was begun, as its cookie keeps it; ``begun_at`` is in Unix seconds."""

    state: str
    nonce: str
    verifier: str
    return_to: str
    begun_at: int

    def __repr__(self) -> str:
        return f"Begun(begun_at={self.begun_at})"


class Answer(msgspec.Struct, frozen=True):
    """What the provider's redirect brings back. Providers add parameters of their own."""

    state: str = ""
    code: str = ""
    iss: str = ""
    error: str = ""

    def __repr__(self) -> str:
        return "Answer(***)"


def checked_path(text: str) -> str:
    """Where to return to, if it is a path of this origin.

    Raises:
        ValidationFailed: it could lead elsewhere, or is too long.
    """
    if len(text) > RETURN_TO_LIMIT_CHARS or _PATH.match(text) is None:
        expected = f"must be a path of this origin, at most {RETURN_TO_LIMIT_CHARS} characters"
        raise ValidationFailed(fields={"?return_to": expected})
    return text


def begin(return_to: str, now: float) -> Begun:
    """A new sign-in. Each value has 256 random bits; RFC 7636 wants that of the verifier."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Begun(state, nonce, verifier, return_to, int(now))


def authorization_url(endpoint: str, client: Client, begun: Begun, callback: str) -> str:
    """Where the browser goes; the endpoint's own query is kept (RFC 6749, 3.1).

    ``callback`` is the path where it comes back, as it is registered at the provider.
    """
    parameters = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.public_url + callback,
        "scope": client.scope,
        "state": begun.state,
        "nonce": begun.nonce,
        "code_challenge": challenge(begun.verifier),
        "code_challenge_method": "S256",
    }
    separator = "&" if urlsplit(endpoint).query else "?"
    return f"{endpoint.rstrip('?')}{separator}{urlencode(parameters)}"


def challenge(verifier: str) -> str:
    """RFC 7636, 4.2."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def belonging(answer: Answer, kept: Iterable[Begun], now: float) -> Begun:
    """The sign-in that an answer is to, of those that the browser keeps.

    Raises:
        SignInFailed: this browser began none with its state, or too long ago.
    """
    for begun in kept:
        if _same(answer.state, begun.state):
            if now >= begun.begun_at + SIGN_IN_S:
                raise SignInFailed(reason="sign_in_late")
            return begun
    raise SignInFailed(reason="sign_in_state")


def code_of(answer: Answer, *, issuer: str, names_issuer: bool) -> str:
    """The code of an answer to a sign-in of ours.

    Args:
        names_issuer: the provider says of itself that its answers name it.

    Raises:
        SignInFailed: the answer is another provider's, or says that nobody was let in.
        SignInUnavailable: it says that the provider has a fault.
    """
    # Before anything else is believed: an error, too, may be another provider's.
    if (answer.iss or names_issuer) and not _same(answer.iss, issuer):
        raise SignInFailed(reason="sign_in_issuer")
    if answer.error:
        raise _said_no(answer.error)
    if len(answer.code) > CODE_LIMIT_CHARS or _CODE.match(answer.code) is None:
        raise SignInFailed(reason="sign_in_code")
    return answer.code


def _same(one: str, other: str) -> bool:
    """In a time that tells nothing of where they differ."""
    return hmac.compare_digest(one.encode("utf-8"), other.encode("utf-8"))


def _said_no(error: str) -> SignInFailed | SignInUnavailable:
    if error in _ITS_OWN_FAULT:
        return SignInUnavailable()
    said = f" ({error})" if error in _SAID else ""
    return SignInFailed(f"The company's sign-in let nobody in{said}.", reason="sign_in_refused")


def check_nonce(nonce: object, begun: Begun) -> None:
    """Whether a token whose signature was right was made for this sign-in.

    Raises:
        SignInFailed: it was not, or does not say.
    """
    if not isinstance(nonce, str) or not _same(nonce, begun.nonce):
        raise SignInFailed(reason="sign_in_nonce")
