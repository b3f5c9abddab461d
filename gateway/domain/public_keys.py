"""The public keys that a company's provider signs its tokens with (RFC 7517, RFC 8037).

PyJWT makes the keys, one algorithm each, so that no token chooses how a key is used. For that it
needs ``cryptography``, which ``tokens`` keeps out of it: ``load_algorithms`` lets it in, once, in a
process that has a use for it.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from gateway.optional_imports import hidden_packages

# As in ``tokens``, whichever of the two is loaded first.
with hidden_packages("cryptography"):
    import jwt.algorithms
    import jwt.api_jwk
    import jwt.api_jws
    import jwt.api_jwt
    import jwt.utils

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
# Any provider has a few; more would be somebody's mistake.
KEYS_LIMIT: Final = 64
# RFC 7518, section 3.3, wants 2,048 bits at least. Above 8,192 a check takes milliseconds.
RSA_BITS: Final = range(2048, 8193)

_CURVES: Final[Mapping[tuple[str, str], str]] = {
    ("RSA", ""): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
# What is public of a key. A provider that tells more of it has told a secret, which nobody wants.
_PUBLIC: Final = ("kty", "crv", "n", "e", "x", "y")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key; two of the same ``thumbprint`` are the same. ``jwk`` is PyJWT's."""

    key_id: str | None
    algorithm: str
    thumbprint: str
    jwk: Any = field(repr=False, compare=False)


class PublicKeys:
    """All that a provider has at a time."""

    def __init__(self, keys: tuple[PublicKey, ...]) -> None:
        self.keys = keys
        self._thumbprints = frozenset(key.thumbprint for key in keys)

    def __contains__(self, key: PublicKey) -> bool:
        return key.thumbprint in self._thumbprints

    def find(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """By its id; a token that names none is the only key's of its algorithm."""
        fitting = [key for key in self.keys if key.algorithm == algorithm]
        if key_id is not None:
            fitting = [key for key in fitting if key.key_id == key_id]
        elif len(fitting) > 1:
            return None
        return fitting[0] if fitting else None


def load_algorithms() -> None:
    """Lets PyJWT use ``cryptography``.

    Its modules are run once more, in the order of their imports; exceptions stay what they are.

    Raises:
        ImportError: ``cryptography`` is not installed.
    """
    if not jwt.algorithms.has_crypto:
        for module in (jwt.utils, jwt.algorithms, jwt.api_jwk, jwt.api_jws, jwt.api_jwt, jwt):
            importlib.reload(module)
    if not jwt.algorithms.has_crypto:
        raise ImportError("the package 'cryptography' is not installed")


def parse_keys(body: bytes) -> PublicKeys:
    """The keys of a JWK set that are of use here; what else is in it is left alone.

    Raises:
        ValueError: it is no JWK set, or has no such key.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError("the key set is not JSON") from exc
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > KEYS_LIMIT:
        raise ValueError(f"no key set with at most {KEYS_LIMIT} keys")
    keys = tuple(_usable(listed))
    if not keys:
        raise ValueError(f"the key set has no key for {', '.join(ALGORITHMS)}")
    return PublicKeys(keys)


def _usable(listed: list[Any]) -> Iterator[PublicKey]:
    for entry in listed:
        if isinstance(entry, dict) and (key := _key(entry)) is not None:
            yield key


def _key(entry: Mapping[str, Any]) -> PublicKey | None:
    """``None`` for one that signs nothing, or nothing we verify."""
    public = {name: entry[name] for name in _PUBLIC if name in entry}
    if not all(isinstance(value, str) for value in public.values()):
        return None
    algorithm = _CURVES.get((public.get("kty", ""), public.get("crv", "")))
    if algorithm is None or entry.get("alg", algorithm) != algorithm or not _verifies(entry):
        return None
    key_id = entry.get("kid")
    if key_id is not None and not isinstance(key_id, str):
        return None
    try:
        jwk = jwt.PyJWK(public, algorithm)
    except jwt.PyJWTError:
        return None
    if algorithm == "RS256" and jwk.key.key_size not in RSA_BITS:
        return None
    return PublicKey(key_id, algorithm, _thumbprint(public), jwk)


def _verifies(entry: Mapping[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return entry.get("use", "sig") == "sig" and (
        isinstance(operations, list) and "verify" in operations
    )


def _thumbprint(public: Mapping[str, str]) -> str:
    """RFC 7638: a digest of the key itself, whatever it is called."""
    return hashlib.sha256(msgspec.json.encode(public, order="sorted")).hexdigest()
