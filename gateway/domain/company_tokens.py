"""Tokens of the company's OpenID Connect provider: what is believed of one, and whose it is.

A token's ``alg`` decides only who is to judge it. HMAC is the gateway's own; what has another
algorithm is the company's, and is verified with a public key that has one algorithm, whatever the
token says: so a public key never serves as an HMAC secret, nor a token without a signature.

All times are whole Unix seconds and held against ``now``, as those of our own tokens are: the skew
is allowed on ``iat`` and ``nbf`` alone, and no token is honoured longer after its ``iat`` than
ours are, because a revocation is remembered no longer than that.

Sources: RFC 7519, RFC 8725 (2.1, 3), RFC 9068 (2.2, 4), OpenID Connect Core 1.0 (2, 3.1.3.7).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import jwt
import msgspec

from gateway.domain.claim_mapping import ClaimMapping
from gateway.domain.company import SUB_LIMIT_CHARS, company_subject
from gateway.domain.public_keys import ALGORITHMS, PublicKey
from gateway.domain.tokens import COMPACT, JTI, TIMES, TOKEN_LIMIT_BYTES, Claims
from gateway.errors import Named, TokenExpired, Unauthenticated

if TYPE_CHECKING:
    from jwt.types import Options

_HEADER_LIMIT_CHARS: Final = 2048
# RFC 8725, section 3.11: a token says what it is for. Those for logging out, for proofs and the
# like say so here.
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_TIMES_OF: Final = {"iat": True, "exp": True, "nbf": False}  # whether it is required
_HEADERS_KEPT: Final = 256

_OPTIONS: Options = {
    "require": ["iss", "aud", "sub", "iat", "exp"],
    "enforce_minimum_key_length": True,
    # Compared here, with stricter types than PyJWT's.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_sub": False,
    "verify_jti": False,
}
_SIGNATURE_ALONE: Options = {**_OPTIONS, "require": [], "verify_aud": False, "verify_iss": False}


@dataclass(frozen=True, slots=True)
class CompanyRules:
    """What a company's token has to say.

    Args:
        clients: which of the provider's clients may bring one (``azp``, or ``client_id`` where that
            is missing); ``None``: any.
        lifetime_s, skew_s: as those of our own tokens.
    """

    issuer: str
    audience: str
    clients: frozenset[str] | None
    mapping: ClaimMapping
    lifetime_s: int
    skew_s: int


@dataclass(frozen=True, slots=True)
class CompanyClaims(Claims):
    """A verified token of the company. ``subject`` is ``company_subject``; ``roles`` are mapped.

    Attributes:
        key: what it was verified with: when the provider withdraws it, the token goes with it.
        name: what its holder is shown as.
    """

    key: PublicKey | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """What a token's head says; nothing of it is proved. ``algorithm`` is empty for none.

    ``sound``: it asks for nothing that is not understood here, and is of a kind that lets in.
    ``asymmetric``: only a public key could verify it.
    """

    algorithm: str
    key_id: str | None = None
    sound: bool = False
    asymmetric: bool = False


def is_company_token(text: str) -> bool:
    """Whether a bearer token is one that only a public key could verify."""
    return header_of(text).asymmetric


def header_of(text: str) -> TokenHeader:
    """The head of a token, whatever that is: of nonsense it is empty."""
    end = text.find(".", 0, _HEADER_LIMIT_CHARS + 1)
    return _header(text[:end]) if end > 0 else _NO_HEADER


_NO_HEADER: Final = TokenHeader("")


@lru_cache(maxsize=_HEADERS_KEPT)
def _header(encoded: str) -> TokenHeader:
    """Of an issuer's tokens nearly all have the same: it is read once."""
    try:
        padded = encoded + "=" * (-len(encoded) % 4)
        header = msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return _NO_HEADER
    if not isinstance(header, dict) or not isinstance(header.get("alg"), str):
        return _NO_HEADER
    algorithm, key_id = header["alg"], header.get("kid")
    return TokenHeader(
        algorithm,
        key_id if isinstance(key_id, str) else None,
        _is_sound(header),
        asymmetric=algorithm.lower() not in ("", "none") and not algorithm.startswith("HS"),
    )


def _is_sound(header: Mapping[str, Any]) -> bool:
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        return False
    return not {"crit", "b64"} & header.keys() and isinstance(header.get("kid", ""), str)


def read_header(text: str) -> TokenHeader:
    """The head of a company's token, which says which key is needed.

    Raises:
        Unauthenticated: no key could make it right.
    """
    if len(text) > TOKEN_LIMIT_BYTES:
        raise Unauthenticated(reason="too_long")
    if COMPACT.match(text) is None:
        raise Unauthenticated(reason="malformed")
    header = header_of(text)
    if not header.sound:
        raise Unauthenticated(reason="header")
    if header.algorithm not in ALGORITHMS:
        raise Unauthenticated(reason="algorithm")
    return header


def verify(
    text: str, key: PublicKey, now: float, rules: CompanyRules
) -> tuple[CompanyClaims, Mapping[str, Any]]:
    """What is believed of a token whose head was read, and all it says; everything was checked.

    Raises:
        TokenExpired: everything else was right.
        Unauthenticated: with ``reason`` naming the first thing that was wrong.

    Either names whom the token is about where its signature was right and its issuer is ours.
    """
    payload = _signed_payload(text, key, rules)
    return _claims(payload, text, key, now, rules), payload


def _claims(
    payload: Mapping[str, Any], text: str, key: PublicKey, now: float, rules: CompanyRules
) -> CompanyClaims:
    named = _named(payload, rules)
    for claim, required in _TIMES_OF.items():
        # The exact type: a ``bool`` is an ``int`` to Python, but no time to us.
        if (required or claim in payload) and not _is_time(payload.get(claim)):
            raise Unauthenticated(reason=f"claim_{claim}", named=named)
    if named.account is None:
        raise Unauthenticated(reason="claim_sub")
    if not _is_brought_by_a_client(payload, rules):
        raise Unauthenticated(reason="client", named=named)
    tenant = rules.mapping.tenant_of(payload)
    if tenant is None:
        raise Unauthenticated(reason="claim_tenant", named=named)
    if max(payload["iat"], payload.get("nbf", 0)) > now + rules.skew_s:
        raise Unauthenticated(reason="not_yet_valid", named=named)
    expires_at = min(payload["exp"], payload["iat"] + rules.lifetime_s)
    if now >= expires_at:
        raise TokenExpired(reason="expired", named=named)
    return CompanyClaims(
        subject=named.account,
        tenant=tenant,
        roles=rules.mapping.roles_of(payload),
        issued_at=payload["iat"],
        expires_at=expires_at,
        token_id=_token_id(payload, text),
        key=key,
        name=rules.mapping.name_of(payload),
    )


def _signed_payload(text: str, key: PublicKey, rules: CompanyRules) -> Mapping[str, Any]:
    try:
        payload: Mapping[str, Any] = jwt.decode(
            text,
            key.jwk,
            [key.algorithm],
            options=_OPTIONS,
            audience=rules.audience,
            issuer=rules.issuer,
        )
    except (jwt.InvalidTokenError, jwt.InvalidKeyError) as exc:
        raise _refusal(exc, _named_by(text, key, rules)) from exc
    return payload


def _refusal(fault: jwt.PyJWTError, named: Named) -> Unauthenticated:
    """What PyJWT found wrong, in the words of the log and the metric."""
    match fault:
        case jwt.InvalidSignatureError() | jwt.InvalidAlgorithmError():
            return Unauthenticated(reason="signature", named=named)
        case jwt.InvalidIssuerError() | jwt.MissingRequiredClaimError(claim="iss"):
            return Unauthenticated(reason="issuer", named=named)
        case jwt.InvalidAudienceError() | jwt.MissingRequiredClaimError(claim="aud"):
            return Unauthenticated(reason="audience", named=named)
        case jwt.MissingRequiredClaimError(claim=claim):
            return Unauthenticated(reason=f"claim_{claim}", named=named)
        case jwt.DecodeError():
            return Unauthenticated(reason="malformed")
    return Unauthenticated(reason="header", named=named)


def _named_by(text: str, key: PublicKey, rules: CompanyRules) -> Named:
    """Whom a refused token names: nobody unless it is signed with ``key`` and names our issuer."""
    try:
        payload = jwt.decode(text, key.jwk, [key.algorithm], options=_SIGNATURE_ALONE)
    except jwt.PyJWTError:
        return Named()
    return _named(payload, rules)


def _named(payload: Mapping[str, Any], rules: CompanyRules) -> Named:
    sub, issuer = payload.get("sub"), payload.get("iss")
    if issuer != rules.issuer or not _is_sub(sub):
        return Named()
    token_id = payload.get("jti")
    return Named(
        account=company_subject(rules.issuer, str(sub)),
        credential_id=token_id if isinstance(token_id, str) and JTI.match(token_id) else None,
    )


def _is_sub(sub: object) -> bool:
    """Any text of the length that OpenID Connect allows; a lone surrogate is none."""
    if not isinstance(sub, str) or not 0 < len(sub) <= SUB_LIMIT_CHARS:
        return False
    return not any("\ud800" <= char <= "\udfff" for char in sub)


def _is_time(value: object) -> bool:
    return type(value) is int and value in TIMES


def _is_brought_by_a_client(payload: Mapping[str, Any], rules: CompanyRules) -> bool:
    """Each of the two claims that name the client the token was made for must name one of ours.

    OpenID Connect Core, 3.1.3.7: one for several audiences must say for whom it was made.
    """
    named = [payload[claim] for claim in ("azp", "client_id") if claim in payload]
    audiences = payload["aud"]
    if not named:
        return isinstance(audiences, str) or len(audiences) == 1
    if not all(isinstance(client, str) for client in named):
        return False
    return rules.clients is None or rules.clients.issuperset(named)


def _token_id(payload: Mapping[str, Any], text: str) -> str:
    """What stands for the token in logs and where ended tokens are listed.

    Where it has no id, a digest of what is signed: of an ECDSA signature there are two spellings.
    """
    token_id = payload.get("jti")
    if isinstance(token_id, str) and JTI.match(token_id):
        return token_id
    signed, _, _ = text.rpartition(".")
    return hashlib.sha256(signed.encode("ascii")).hexdigest()[:32]
