"""JSON Web Tokens: what the gateway signs at login and what it accepts when it comes back.

HS256 and nothing else. A token names its user (``sub``, ``tenant``, ``roles``), its times and its
parties; all nine claims of the contract are required, each of its exact type. The rules here see
the token alone: whether its user still exists is asked on every request (``flows/token_method``).

PyJWT takes a token apart: signature, algorithm, required claims, issuer and audience. The times
are compared here. They are Unix seconds and are held against ``now``, which the caller passes:
PyJWT would read its own clock, take a number in quotes, and allow the skew on ``exp`` as well.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.domain.identity import User, is_name, is_role
from gateway.errors import Named, TokenExpired, Unauthenticated
from gateway.optional_imports import hidden_packages

# PyJWT loads it where it is installed, for the algorithms we refuse: 9 MiB.
with hidden_packages("cryptography"):
    import jwt
    from jwt.algorithms import HMACAlgorithm

if TYPE_CHECKING:
    from jwt.types import Options

SECRET_LIMIT_BYTES = 32  # RFC 7518, section 3.2: no shorter than the hash's output.
TOKEN_LIMIT_BYTES = 8 * 1024
SKEW_LIMIT_S = 120
ROLES_LIMIT = 64

_ALGORITHM = "HS256"
# Three parts and no padding: PyJWT would take ``=`` at their ends, which is a second spelling.
COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")
JTI = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
# Nobody needs ``kid``, ``jku`` or ``crit`` of us, so a header that carries more is not ours.
_HEADER_NAMES = frozenset({"alg", "typ"})
# A date beyond these is a unit mistaken (milliseconds), or an attempt to overflow something.
TIMES = range(253_402_300_800)  # The last one is 9999-12-31T23:59:59Z.
# Private claim: the state of the account at the login, as a keyed digest (see ``password_tag``).
_PASSWORD_CLAIM = "pwv"
# Private claim: how often all tokens of the account were ended before, as the time of the last one
# in Unix milliseconds (see ``revocations.EndedTokens``). Absent: never, as far as the issuer knew.
_GENERATION_CLAIM = "gen"

_OPTIONS: Options = {
    "require": ["iss", "aud", "iat", "nbf", "exp", "sub", "tenant", "roles", "jti"],
    "strict_aud": True,
    # ``verify`` compares the times and ``_CLAIM_RULES`` has the types, stricter than PyJWT's.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_sub": False,
    "verify_jti": False,
}
# To name a refused token in the log: its signature must be right, and nothing else.
_SIGNATURE_ALONE: Options = {**_OPTIONS, "require": [], "verify_aud": False, "verify_iss": False}


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """How tokens are signed and verified.

    Args:
        secrets: signed with the first, verified with all: that is how a secret is rotated.
        lifetime_s: of a fresh token, and the longest any token is honoured after its ``iat``.
        skew_s: how far ``iat`` and ``nbf`` may lie ahead of this machine's clock, at most 120.
    """

    secrets: tuple[bytes, ...] = field(repr=False)
    issuer: str
    audience: str
    lifetime_s: int
    skew_s: int

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
    """A fresh token as the login answers it; ``expires_at`` is in Unix seconds.

    ``token_id`` is its ``jti``, for the log.
    """

    access_token: str = field(repr=False)
    expires_in: int
    expires_at: int
    token_id: str


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
    generation: int = 0


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
    except jwt.InvalidKeyError:
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
    """A digest of what ends a user's tokens when it changes, of use only to whoever has ``secret``.

    These are the password's hash and ``tokens_valid_after``. It travels in the token. Comparing
    ``iat`` with the account's times says almost the same, but needs clocks that agree, and has no
    answer for the environment's admin (nobody knows when that variable was edited), nor for a
    login before a change that is in the same second, or was not read yet by a worker.
    """
    state = user.password_hash
    if user.tokens_valid_after:
        state += f"\n{user.tokens_valid_after}"
    return hmac.digest(secret, state.encode("utf-8"), "sha256")[:12].hex()


def issue(user: User, now: float, settings: TokenSettings, *, generation: int = 0) -> IssuedToken:
    """Signs a token for ``user`` that starts now and lasts the configured lifetime.

    ``generation`` is the account's, when all its tokens were ended once and that is remembered: by
    it the new token is told from those, whatever the clocks say.
    """
    issued_at, token_id = int(now), secrets.token_urlsafe(16)
    expires_at = issued_at + settings.lifetime_s
    payload = {
        "sub": user.subject,
        "tenant": user.tenant,
        "roles": sorted(user.roles),
        "iat": issued_at,
        "nbf": issued_at,
        "exp": expires_at,
        "iss": settings.issuer,
        "aud": settings.audience,
        "jti": token_id,
        _PASSWORD_CLAIM: password_tag(user, settings.secrets[0]),
    }
    if generation:
        payload[_GENERATION_CLAIM] = generation
    token = jwt.encode(payload, settings.secrets[0], _ALGORITHM)
    return IssuedToken(token, settings.lifetime_s, expires_at, token_id)


def verify(token: str, now: float, settings: TokenSettings) -> Claims:
    """The claims of a token, all of which were checked.

    The skew is allowed on ``iat`` and ``nbf`` alone: ``exp`` is the end, cached or not.

    Raises:
        TokenExpired: everything else was right.
        Unauthenticated: with ``reason`` naming the first thing that was wrong.

    Either names the token and its user where the signature was right, and nobody where it was not.
    """
    payload, secret = _signed_payload(token, settings)
    named = _named(payload)
    for claim, (kind, is_right) in _CLAIM_RULES.items():
        # The exact type: a ``bool`` is an ``int`` to Python, but no time to us.
        if claim in payload and not (type(payload[claim]) is kind and is_right(payload[claim])):
            raise Unauthenticated(reason=f"claim_{claim}", named=named)
    claims = _claims(payload, secret, settings)
    if max(claims.issued_at, payload["nbf"]) > now + settings.skew_s:
        raise Unauthenticated(reason="not_yet_valid", named=named)
    if now >= claims.expires_at:
        raise TokenExpired(reason="expired", named=named)
    return claims


def is_under(claims: Claims, verified_under: TokenSettings, settings: TokenSettings) -> bool:
    """Whether a token verified under other settings would verify under these, times apart."""
    parties = (settings.issuer, settings.audience)
    return (
        claims.signed_with in settings.secrets
        and (verified_under.issuer, verified_under.audience) == parties
    )


def stands_for(claims: Claims, user: User, settings: TokenSettings) -> bool:
    """Whether a verified token was issued to ``user`` as the account is now.

    A tag that matches says so by itself: a time in the account may have been written by a machine
    whose clock is ahead, and the token that was just given out must live. Tokens without a tag are
    made elsewhere; of these the times decide.
    """
    if claims.tenant != user.tenant:
        return False
    if claims.password_tag is None:
        return claims.issued_at >= max(user.password_changed_at, user.tokens_valid_after)
    expected = (password_tag(user, secret) for secret in settings.secrets)
    return any(hmac.compare_digest(claims.password_tag, tag) for tag in expected)


def _signed_payload(token: str, settings: TokenSettings) -> tuple[Mapping[str, Any], bytes]:
    """The payload of a token PyJWT accepts, and the secret it was signed with."""
    if len(token) > TOKEN_LIMIT_BYTES:
        raise Unauthenticated(reason="too_long")
    if COMPACT.match(token) is None:
        raise Unauthenticated(reason="malformed")
    for secret in settings.secrets:
        try:
            return _decoded(token, secret, settings), secret
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidTokenError as exc:
            raise _refusal(exc, _named_by_signed(token, secret)) from exc
    raise Unauthenticated(reason="signature")


def _refusal(fault: jwt.InvalidTokenError, named: Named) -> Unauthenticated:
    """What PyJWT found wrong, in the words of the log and the metric."""
    match fault:
        case jwt.InvalidAlgorithmError():
            return Unauthenticated(reason="signature")
        case jwt.InvalidIssuerError() | jwt.MissingRequiredClaimError(claim="iss"):
            return Unauthenticated(reason="issuer", named=named)
        case jwt.InvalidAudienceError() | jwt.MissingRequiredClaimError(claim="aud"):
            return Unauthenticated(reason="audience", named=named)
        case jwt.MissingRequiredClaimError(claim=claim):
            return Unauthenticated(reason=f"claim_{claim}", named=named)
        case jwt.DecodeError():
            return Unauthenticated(reason="malformed")
    # The two header fields it checks, ``kid`` and ``crit``.
    return Unauthenticated(reason="header", named=named)


def _named_by_signed(token: str, secret: bytes) -> Named:
    """Whom a refused token names: nobody unless it is signed with ``secret``.

    The signature is checked anew, so that this does not hang on the order of PyJWT's checks.
    """
    try:
        return _named(jwt.decode(token, secret, [_ALGORITHM], options=_SIGNATURE_ALONE))
    except jwt.InvalidTokenError:
        return Named()


def _named(payload: Mapping[str, Any]) -> Named:
    """The token and its user as a signed payload has them, where they are spelled as ours are."""
    subject, token_id = payload.get("sub"), payload.get("jti")
    return Named(
        account=subject if isinstance(subject, str) and is_name(subject) else None,
        credential_id=token_id if isinstance(token_id, str) and JTI.match(token_id) else None,
    )


def _decoded(token: str, secret: bytes, settings: TokenSettings) -> Mapping[str, Any]:
    parts = jwt.decode_complete(
        token,
        secret,
        [_ALGORITHM],
        options=_OPTIONS,
        audience=settings.audience,
        issuer=settings.issuer,
    )
    header: Mapping[str, Any] = parts["header"]
    payload: Mapping[str, Any] = parts["payload"]
    if not header.keys() <= _HEADER_NAMES or header.get("typ", "JWT") != "JWT":
        raise Unauthenticated(reason="header", named=_named(payload))
    return payload


def _claims(payload: Mapping[str, Any], secret: bytes, settings: TokenSettings) -> Claims:
    """A payload whose claims were checked, as a value."""
    return Claims(
        subject=payload["sub"],
        tenant=payload["tenant"],
        roles=frozenset(payload["roles"]),
        issued_at=payload["iat"],
        # A lifetime that was shortened holds for tokens already out, without killing young ones.
        expires_at=min(payload["exp"], payload["iat"] + settings.lifetime_s),
        token_id=payload["jti"],
        password_tag=payload.get(_PASSWORD_CLAIM),
        signed_with=secret,
        generation=payload.get(_GENERATION_CLAIM, 0),
    )


def _are_roles(value: list[object]) -> bool:
    are_roles = all(isinstance(role, str) and is_role(role) for role in value)
    return are_roles and len(value) <= ROLES_LIMIT


_CLAIM_RULES: Mapping[str, tuple[type, Callable[[Any], object]]] = {
    "iat": (int, TIMES.__contains__),
    "nbf": (int, TIMES.__contains__),
    "exp": (int, TIMES.__contains__),
    "sub": (str, is_name),
    "tenant": (str, is_name),
    "roles": (list, _are_roles),
    # It ends in logs, so it may hold nothing that could split a line.
    "jti": (str, JTI.match),
    # ``hmac.compare_digest`` takes no other text.
    _PASSWORD_CLAIM: (str, str.isascii),
    _GENERATION_CLAIM: (int, range(1000 * len(TIMES)).__contains__),
}
