"""Which keys of a provider's set are of use, and which are left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.domain.public_keys import KEYS_LIMIT, load_algorithms, parse_keys
from tests.company import SigningKey, encoded, public_keys

load_algorithms()
RSA = SigningKey("RS256")
GOOD = RSA.jwk


def key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def small_key() -> dict[str, Any]:
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    return {**GOOD, "n": encoded(numbers.n.to_bytes(128, "big"))}


LEFT_ALONE: dict[str, Any] = {
    "a secret": {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "x"},
    "a key for encryption": {**GOOD, "use": "enc"},
    "a key that only signs": {**GOOD, "key_ops": ["sign"]},
    "another algorithm": {**GOOD, "alg": "PS256"},
    "an algorithm of another kind": {**GOOD, "alg": "HS256"},
    "another curve": {**SigningKey("ES256").jwk, "crv": "P-384"},
    "an id that is no text": {**GOOD, "kid": 7},
    "a number that is no text": {**GOOD, "n": 7},
    "half a key": {name: GOOD[name] for name in GOOD if name != "n"},
    "not on the curve": {**SigningKey("ES256").jwk, "y": encoded(bytes(32))},
    "1,024 bits": small_key(),
    "no key": ["kty"],
}


@pytest.mark.parametrize("what", LEFT_ALONE)
def test_what_is_of_no_use_is_left_alone(what: str) -> None:
    """The keys beside it are taken all the same; alone it is no key set."""
    found = parse_keys(key_set(LEFT_ALONE[what], {**GOOD, "kid": "good"}))
    assert [key.key_id for key in found.keys] == ["good"]
    with pytest.raises(ValueError, match="no key"):
        parse_keys(key_set(LEFT_ALONE[what]))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"keys": {}}', b"\xff", key_set(*[GOOD] * (KEYS_LIMIT + 1))]
)
def test_what_is_no_key_set_is_refused(body: bytes) -> None:
    """Nonsense, and more than anybody needs."""
    with pytest.raises(ValueError, match="key set"):
        parse_keys(body)


def test_a_key_is_found_by_id_and_algorithm_together() -> None:
    """One id may be used for two kinds of key."""
    keys = public_keys(RSA, SigningKey("ES256"))
    assert keys.find("key-1", "RS256") != keys.find("key-1", "ES256")
    assert keys.find("key-1", "EdDSA") is None
    assert keys.find("key-2", "RS256") is None


def test_a_key_is_the_same_by_what_it_is_and_not_by_its_id() -> None:
    """A provider that reuses an id withdraws the old key all the same."""
    old, new = public_keys(RSA), public_keys(SigningKey(number=1), SigningKey("ES256", key_id="e"))
    (key,) = old.keys
    assert key in old
    assert key not in new
    assert key in public_keys(SigningKey(key_id="another name"))


def test_a_secret_that_a_provider_publishes_by_mistake_is_not_kept() -> None:
    """Of a private key in the set only what is public is looked at."""
    private = RSA.private.private_numbers()
    told = {**GOOD, "d": encoded(private.d.to_bytes(256, "big"))}
    (key,) = parse_keys(key_set(told)).keys
    assert not hasattr(key.jwk.key, "private_numbers")
