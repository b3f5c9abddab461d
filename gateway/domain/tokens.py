"""JSON Web Tokens: what the gateway signs at login and what it believes on the way back in.

HS256 and nothing else. A token names its user (``sub``, ``tenant``, ``roles``), its times and its
parties; all nine claims of the contract are required, each of its exact type. The rules here see
the token alone: whether its user still exists is asked on every request (``flows/authenticate``).

Times are Unix seconds and arrive as ``now``: PyJWT, which would look at its own clock, signs, and
checks signatures. It is asked for no more than that: its way of taking a token apart costs ten
times what a signature does, and every first request of a token pays for it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from gateway.domain.identity import User, is_name, is_role
from gateway.errors import TokenExpired, Unauthenticated
from gateway.optional_imports import left_out

# PyJWT loads it where it is installed, for the algorithms we refuse: 9 MiB.
with left_out("cryptography"):
    from jwt.algorithms import HMACAlgorithm
    from jwt.api_jws import PyJWS
    from jwt.exceptions import InvalidKeyError

SECRET_LIMIT_BYTES = 32  # RFC 7518, section 3.2: no shorter than the hash's output.
TOKEN_LIMIT_BYTES = 8 * 1024
SKEW_LIMIT_S = 120
ROLES_LIMIT = 64

_ALGORITHM = "HS256"
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\Z")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")
_JTI = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
# Nobody needs ``kid``, ``jku`` or ``crit`` of us, so a header that carries more is not ours.
_HEADER_NAMES = frozenset({"alg", "typ"})
# A date beyond this is a unit mistaken (milliseconds), or an attempt to overflow something.
_LAST_TIME = 253_402_300_799  # 9999-12-31T23:59:59Z
# Private claim: which password the login was made with, as a keyed digest (see ``password_tag``).
_PASSWORD_CLAIM = "pwv"

_JWS = PyJWS(algorithms=[_ALGORITHM], options={"enforce_minimum_key_length": True})
_HS256 = HMACAlgorithm(HMACAlgorithm.SHA256)


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """How tokens are signed and verified.

    Args:
        secrets: signed with the first, verified with all: that is how a secret is rotated.
        lifetime_s: of a fresh token, and the longest any token is honoured after its ``iat``.
        skew_s: how far ``iat`` and ``nbf`` may lie ahead of this machine's clock, at most 120.
    """

    secrets: tuple[bytes, ...] = field(repr=False)
    issuer: str = "knowledge-base-gateway"
    audience: str = "knowledge-base"
    lifetime_s: int = 24 * 3600
    skew_s: int = 30

    def __post_init__(self) -> None:
        """Raises ``ValueError`` in words fit for whoever sets the gateway up."""
        if not self.secrets:
            raise ValueError("a JWT secret is needed")
        for secret in self.secrets:
            if fault := _secret_fault(secret):
                raise ValueError(f"the JWT secret: {fault}")
        if self.lifetime_s <= 0:
            raise ValueError("the JWT lifetime must be positive")
        if not 0 <= self.skew_s <= SKEW_LIMIT_S:
            raise ValueError(f"the JWT clock skew must be 0 to {SKEW_LIMIT_S} seconds")
        if not self.issuer or not self.audience:
            raise ValueError("the JWT issuer and audience must not be empty")


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A fresh token as the login answers it; ``expires_at`` is in Unix seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Claims:
    """A verified token. ``expires_at`` is ``exp``, or earlier when the lifetime was shortened.

    ``signed_with`` is the secret that verified it: when it is retired, so is the token.
    """

    subject: str
    tenant: str
    roles: frozenset[str]
    issued_at: int
    expires_at: int
    token_id: str
    password_tag: str | None = None
    signed_with: bytes = field(default=b"", repr=False)


def parse_secret(text: str) -> bytes:
    """A signing secret from a setting: raw, or base64url after ``base64url:``.

    Raises:
        ValueError: in a public sentence, which never holds any of the secret.
    """
    prefix, _, encoded = text.partition("base64url:")
    secret = _base64url(encoded) if encoded and not prefix else text.encode("utf-8")
    if fault := _secret_fault(secret):
        raise ValueError(fault)
    return secret


def _secret_fault(secret: bytes) -> str | None:
    if len(secret) < SECRET_LIMIT_BYTES:
        return f"expected at least {SECRET_LIMIT_BYTES} bytes, found {len(secret)}"
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        return "expected random bytes, found an asymmetric key or a JWK"
    return None


def _base64url(encoded: str) -> bytes:
    bare = encoded.rstrip("=")
    try:
        if _BASE64URL.match(bare) is None:
            raise binascii.Error
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        raise ValueError("expected base64url after 'base64url:'") from None


def password_tag(user: User, secret: bytes) -> str:
    """Names a user's password of the moment to whoever holds ``secret``, and tells no one else.

    It travels in the token. ``iat`` against ``password_changed_at`` says almost the same, but has
    no answer for the environment's admin (nobody knows when that variable was edited), nor for a
    login made with the old password in the second before a worker reloads the file.
    """
    return hmac.digest(secret, user.password_hash.encode("utf-8"), "sha256")[:12].hex()


def issue(user: User, now: float, settings: TokenSettings) -> IssuedToken:
    """Signs a token for ``user`` that starts now and lasts the configured lifetime."""
    # The password may have been changed on a machine whose clock is a little ahead of this one's.
    issued_at = max(int(now), min(user.password_changed_at, int(now) + settings.skew_s))
    expires_at = int(now) + settings.lifetime_s
    payload = {
        "sub": user.subject,
        "tenant": user.tenant,
        "roles": sorted(user.roles),
        "iat": issued_at,
        "nbf": issued_at,
        "exp": expires_at,
        "iss": settings.issuer,
        "aud": settings.audience,
        "jti": secrets.token_urlsafe(16),
        _PASSWORD_CLAIM: password_tag(user, settings.secrets[0]),
    }
    body = json.dumps(payload, separators=(",", ":")).encode("utf-8")
    token = _JWS.encode(body, settings.secrets[0], algorithm=_ALGORITHM)
    return IssuedToken(token, settings.lifetime_s, expires_at)


def verify(token: str, now: float, settings: TokenSettings) -> Claims:
    """What a token says, once nothing about it is wrong.

    The skew is allowed on ``iat`` and ``nbf`` alone: ``exp`` is the end, cached or not.

    Raises:
        TokenExpired: everything else was right.
        Unauthenticated: with ``reason`` naming the first thing that was wrong.
    """
    payload, secret = _signed_payload(token, settings.secrets)
    claims, not_before = _claims(payload, secret, settings)
    latest = now + settings.skew_s
    if claims.issued_at > latest or not_before > latest:
        raise Unauthenticated(reason="not_yet_valid")
    if now >= claims.expires_at:
        raise TokenExpired(reason="expired")
    return claims


def is_under(claims: Claims, verified_under: TokenSettings, settings: TokenSettings) -> bool:
    """Whether a token verified under other settings would verify under these, its end apart."""
    parties = (settings.issuer, settings.audience)
    return (
        claims.signed_with in settings.secrets
        and (verified_under.issuer, verified_under.audience) == parties
    )


def stands_for(claims: Claims, user: User, settings: TokenSettings) -> bool:
    """Whether a verified token was issued to ``user`` as he is now, and by his present password."""
    if claims.tenant != user.tenant or claims.issued_at < user.password_changed_at:
        return False
    if claims.password_tag is None:
        return True
    expected = (password_tag(user, secret) for secret in settings.secrets)
    return any(hmac.compare_digest(claims.password_tag, tag) for tag in expected)


def _signed_payload(token: str, keys: tuple[bytes, ...]) -> tuple[Mapping[str, Any], bytes]:
    """What was signed, and the secret it was signed with."""
    if len(token) > TOKEN_LIMIT_BYTES:
        raise Unauthenticated(reason="too_long")
    parts = _COMPACT.match(token)
    if parts is None:
        raise Unauthenticated(reason="malformed")
    header = _json_object(parts[1], "signature")
    if header.get("alg") != _ALGORITHM:
        raise Unauthenticated(reason="signature")
    signed, signature = token[: parts.end(2)].encode("ascii"), _decoded(parts[3], "signature")
    for key in keys:
        if _HS256.verify(signed, key, signature):
            if not header.keys() <= _HEADER_NAMES or header.get("typ", "JWT") != "JWT":
                raise Unauthenticated(reason="header")
            return _json_object(parts[2], "malformed"), key
    raise Unauthenticated(reason="signature")


def _json_object(part: str, reason: str) -> Mapping[str, Any]:
    try:
        found = json.loads(_decoded(part, reason))
    except (ValueError, RecursionError) as exc:
        raise Unauthenticated(reason=reason) from exc
    if not isinstance(found, dict):
        raise Unauthenticated(reason=reason)
    return found


def _decoded(part: str, reason: str) -> bytes:
    """The bytes of one part, whose alphabet was checked.

    A text that is not the one spelling of its bytes is refused, as PyJWT does (RFC 4648, 3.5).
    """
    try:
        found = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error as exc:
        raise Unauthenticated(reason=reason) from exc
    if base64.urlsafe_b64encode(found).rstrip(b"=") != part.encode("ascii"):
        raise Unauthenticated(reason=reason)
    return found


def _claims(
    payload: Mapping[str, Any], secret: bytes, settings: TokenSettings
) -> tuple[Claims, int]:
    """The claims, each of its type, and ``nbf``."""
    if payload.get("iss") != settings.issuer:
        raise Unauthenticated(reason="issuer")
    if payload.get("aud") != settings.audience:
        raise Unauthenticated(reason="audience")
    issued_at = _time(payload, "iat")
    claims = Claims(
        subject=_named(payload, "sub"),
        tenant=_named(payload, "tenant"),
        roles=_roles(payload),
        issued_at=issued_at,
        # A lifetime that was shortened holds for tokens already out, without killing young ones.
        expires_at=min(_time(payload, "exp"), issued_at + settings.lifetime_s),
        token_id=_token_id(payload),
        password_tag=_optional_text(payload, _PASSWORD_CLAIM),
        signed_with=secret,
    )
    return claims, _time(payload, "nbf")


def _time(payload: Mapping[str, Any], claim: str) -> int:
    value = payload.get(claim)
    # ``bool`` is an ``int`` to Python and "1700000000" one to PyJWT; neither is to us.
    if type(value) is not int or not 0 <= value <= _LAST_TIME:
        raise Unauthenticated(reason=f"claim_{claim}")
    return value


def _named(payload: Mapping[str, Any], claim: str) -> str:
    value = payload.get(claim)
    if not isinstance(value, str) or not is_name(value):
        raise Unauthenticated(reason=f"claim_{claim}")
    return value


def _roles(payload: Mapping[str, Any]) -> frozenset[str]:
    value = payload.get("roles")
    if not _is_role_list(value):
        raise Unauthenticated(reason="claim_roles")
    return frozenset(value)


def _is_role_list(value: object) -> TypeGuard[list[str]]:
    return (
        isinstance(value, list)
        and len(value) <= ROLES_LIMIT
        and all(isinstance(role, str) and is_role(role) for role in value)
    )


def _token_id(payload: Mapping[str, Any]) -> str:
    value = payload.get("jti")
    # It ends in logs, so it may hold nothing that could split a line.
    if not isinstance(value, str) or _JTI.match(value) is None:
        raise Unauthenticated(reason="claim_jti")
    return value


def _optional_text(payload: Mapping[str, Any], claim: str) -> str | None:
    value = payload.get(claim)
    if value is None and claim not in payload:
        return None
    if not isinstance(value, str) or not value.isascii():
        raise Unauthenticated(reason=f"claim_{claim}")
    return value
