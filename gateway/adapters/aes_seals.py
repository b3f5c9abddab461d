"""Sealed texts: AES-256-GCM under keys that come from the gateway's secret.

Every text has a key of its own, by HKDF-SHA256 (RFC 5869) from the secret and a fresh salt. So
however many cookies are made with one secret, no key and no nonce is used a second time by
accident: with one key for all, random nonces would allow only some thousand millions (NIST SP
800-38D, 8.3), and anybody may begin sign-ins. The purpose, and what the seals are bound to, are
authenticated and stand in no text: a session opens as nothing else, and not for another provider.

This module imports ``cryptography`` (9 MiB): only where company sign-in is on.
"""

from __future__ import annotations

import base64
import re
import secrets as random
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.ports import Opened

# No browser keeps a longer cookie.
TEXT_LIMIT_CHARS: Final = 4096

_VERSION: Final = b"\x01"
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_HEAD_BYTES: Final = len(_VERSION) + _SALT_BYTES + _NONCE_BYTES
_TEXT = re.compile(r"[A-Za-z0-9_-]+\Z")
# Keeps these keys apart from all else that is made with the same secrets.
_INFO: Final = b"knowledge-base-gateway: sealed text"


class AesSeals:
    """Args: ``bound_to`` is what a text is good for besides its purpose: the provider, say."""

    def __init__(self, secrets: Sequence[bytes], bound_to: Sequence[str] = ()) -> None:
        self._secrets = tuple(secrets)
        self._bound_to = tuple(bound_to)

    def use(self, secrets: Sequence[bytes], bound_to: Sequence[str]) -> None:
        """Seals with the first of these from now on, and opens with all; for something else."""
        self._secrets, self._bound_to = tuple(secrets), tuple(bound_to)

    def seal(self, purpose: str, content: bytes) -> str:
        salt, nonce = random.token_bytes(_SALT_BYTES), random.token_bytes(_NONCE_BYTES)
        sealed = _cipher(self._secrets[0], salt).encrypt(nonce, content, self._context(purpose))
        whole = _VERSION + salt + nonce + sealed
        return base64.urlsafe_b64encode(whole).rstrip(b"=").decode("ascii")

    def opened(self, purpose: str, text: str) -> Opened | None:
        whole = _bytes_of(text)
        if whole is None:
            return None
        salt, nonce = whole[1 : 1 + _SALT_BYTES], whole[1 + _SALT_BYTES : _HEAD_BYTES]
        context = self._context(purpose)
        for secret in self._secrets:
            try:
                content = _cipher(secret, salt).decrypt(nonce, whole[_HEAD_BYTES:], context)
            except InvalidTag:
                continue
            return Opened(content, secret)
        return None

    def holds(self, secret: bytes) -> bool:
        return secret in self._secrets

    def _context(self, purpose: str) -> bytes:
        """What is authenticated beside the content; as JSON, so that no two lists are one text."""
        return msgspec.json.encode([purpose, *self._bound_to])


def _cipher(secret: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), length=32, salt=salt, info=_INFO).derive(secret))


def _bytes_of(text: str) -> bytes | None:
    """``None`` for what has not the form; of each text there is one spelling."""
    if len(text) > TEXT_LIMIT_CHARS or _TEXT.match(text) is None:
        return None
    try:
        whole = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    if base64.urlsafe_b64encode(whole).rstrip(b"=").decode("ascii") != text:
        return None
    if len(whole) < _HEAD_BYTES + _TAG_BYTES or whole[:1] != _VERSION:
        return None
    return whole
