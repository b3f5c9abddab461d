"""401: nobody is known by what was sent, or no longer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.errors.base import GatewayError


@dataclass(frozen=True, slots=True)
class Named:
    """Whom a refused credential names: for the log, never for the client.

    ``account`` only where the signature or the secret was right; ``credential_id`` is a key's id or
    the ``jti`` of a rightly signed token: useless to replay.
    """

    account: str | None = None
    credential_id: str | None = None


_NOBODY = Named()


class Unauthenticated(GatewayError):
    """No credential, or one that is not valid."""

    status = 401
    code = "UNAUTHENTICATED"
    default_message = "A valid bearer token or API key is needed."
    challenge: ClassVar[str] = 'Bearer realm="gateway"'

    def __init__(
        self, message: str | None = None, *, reason: str | None = None, named: Named = _NOBODY
    ) -> None:
        """``reason`` is a short word for the log and the metric, never for the client."""
        super().__init__(message, headers={"WWW-Authenticate": self.challenge})
        self.reason = reason
        self.named = named


class InvalidCredentials(Unauthenticated):
    """Login: the user name or the password is wrong."""

    code = "INVALID_CREDENTIALS"
    default_message = "The username or the password is wrong."


class SignInFailed(Unauthenticated):
    """A browser's sign-in at the company's provider came to nothing."""

    default_message = (
        "This sign-in was not begun in this browser, is too long ago, or is over: begin a new one."
    )


class TokenExpired(Unauthenticated):
    """The token or key has expired."""

    code = "TOKEN_EXPIRED"
    default_message = "The token or API key has expired: log in again, or use another key."
    challenge = 'Bearer realm="gateway", error="invalid_token"'


class CredentialRevoked(Unauthenticated):
    """What a running answer was asked with has been ended before its time.

    A key was revoked or a secret of it withdrawn, a user removed, disabled or moved, a password
    changed. A new request with the same credential is plainly ``UNAUTHENTICATED``.
    """

    code = "CREDENTIAL_REVOKED"
    default_message = "The key, token or account that this was asked with has been ended."
    challenge = 'Bearer realm="gateway", error="invalid_token"'


class AmbiguousCredentials(Unauthenticated):
    """Two credentials at once: the gateway does not guess which one was meant."""

    code = "AMBIGUOUS_CREDENTIALS"
    default_message = "Send one credential, once: a bearer token, an API key or a session cookie."
    challenge = 'Bearer realm="gateway", error="invalid_request"'
