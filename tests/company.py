"""Keys of a company's provider and tokens that it could have signed, or somebody else."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.domain.claim_mapping import ClaimMapping
from gateway.domain.company_tokens import CompanyRules
from gateway.domain.public_keys import PublicKeys, load_algorithms, parse_keys

NOW = 1_800_000_000
ISSUER = "https://sso.example.com/realms/acme"
AUDIENCE = "knowledge-base"
MAPPING = ClaimMapping(
    tenant=None,
    tenant_claim="organization",
    roles_claim="groups",
    roles={"kb-readers": frozenset({"reader"}), "kb-editors": frozenset({"editor", "reader"})},
    name_claim="preferred_username",
)
RULES = CompanyRules(
    issuer=ISSUER,
    audience=AUDIENCE,
    clients=frozenset({"kb-cli"}),
    mapping=MAPPING,
    lifetime_s=24 * 3600,
    skew_s=30,
)
GOOD: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "azp": "kb-cli",
    "sub": "f:42:erin",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 3600,
    "jti": "token-1",
    "organization": "acme",
    "groups": ["kb-editors", "canteen"],
    "preferred_username": "erin",
}


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value: Any) -> str:
    return encoded(json.dumps(value, separators=(",", ":")).encode())


@cache
def private_key(algorithm: str, number: int = 0) -> Any:
    """The same for the same number: making an RSA key takes a tenth of a second."""
    match algorithm:
        case "RS256":
            return rsa.generate_private_key(65537, 2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(algorithm)


def _number(value: int, length: int | None = None) -> str:
    return encoded(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


@dataclass(frozen=True)
class SigningKey:
    """A private key by its algorithm and number, with the id that it is published under."""

    algorithm: str = "RS256"
    number: int = 0
    key_id: str | None = "key-1"

    @property
    def private(self) -> Any:
        return private_key(self.algorithm, self.number)

    @property
    def jwk(self) -> dict[str, Any]:
        """As the provider publishes it."""
        public = self.private.public_key()
        named = {"use": "sig", "alg": self.algorithm}
        if self.key_id is not None:
            named["kid"] = self.key_id
        if self.algorithm == "EdDSA":
            x = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519", "x": encoded(x), **named}
        numbers = public.public_numbers()
        if self.algorithm == "ES256":
            point = {"x": _number(numbers.x, 32), "y": _number(numbers.y, 32)}
            return {"kty": "EC", "crv": "P-256", **point, **named}
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e), **named}

    @property
    def pem(self) -> bytes:
        """What everybody knows of it, as text."""
        return self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, data: bytes) -> bytes:
        match self.algorithm:
            case "RS256":
                return bytes(self.private.sign(data, padding.PKCS1v15(), hashes.SHA256()))
            case "ES256":
                r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return bytes(self.private.sign(data))


@dataclass
class Issuer:
    """A provider's part in tokens: ``keys`` are published, the first one signs."""

    name: str = ISSUER
    keys: list[SigningKey] = field(default_factory=lambda: [SigningKey()])

    @property
    def key_set(self) -> bytes:
        return json.dumps({"keys": [key.jwk for key in self.keys]}).encode()

    def token(
        self,
        header: Mapping[str, Any] | None = None,
        *,
        key: SigningKey | None = None,
        without: str | None = None,
        sign: Callable[[bytes], bytes] | None = None,
        **claims: Any,
    ) -> str:
        """``GOOD`` with changes, signed with the first key unless another one is given."""
        key = key or self.keys[0]
        head = {"alg": key.algorithm, "typ": "JWT", "kid": key.key_id, **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        payload = {**GOOD, "iss": self.name, **claims}
        if without is not None:
            del payload[without]
        signed = f"{part(head)}.{part(payload)}"
        return f"{signed}.{encoded((sign or key.sign)(signed.encode()))}"


def public_keys(*keys: SigningKey) -> PublicKeys:
    """As a worker knows them."""
    load_algorithms()
    return parse_keys(Issuer(keys=list(keys)).key_set)


def hmac_with(secret: bytes) -> Callable[[bytes], bytes]:
    """Signs as HS256 does."""

    def sign(data: bytes) -> bytes:
        digest = hmac.HMAC(secret, hashes.SHA256())
        digest.update(data)
        return digest.finalize()

    return sign


def rules(**changes: Any) -> CompanyRules:
    return replace(RULES, **changes)
