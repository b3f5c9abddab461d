"""An OpenID Connect provider: its metadata and its public keys, over HTTP.

The metadata stands at an address that follows from the issuer's name, and must name the issuer in
return: so no other provider speaks in its place. The keys stand where the metadata says. Nothing
here is redirected, cached or repeated; ``flows.provider_keys`` decides when to ask.

Sources: OpenID Connect Discovery 1.0 (4), RFC 8414 (3.3), RFC 7517 (5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

import httpx
import msgspec

from gateway.domain.provider_places import is_safe_address
from gateway.domain.public_keys import PublicKeys, parse_keys
from gateway.errors import SignInUnavailable

WELL_KNOWN: Final = "/.well-known/openid-configuration"
# Metadata are some kilobytes, and so are a few keys with their certificates.
ANSWER_LIMIT_BYTES: Final = 256 * 1024
# Connecting, both answers, all of it.
BUDGET_S: Final = 5.0

T = TypeVar("T")


class OidcProvider:
    """Implements ``ports.IdentityProvider``.

    Args:
        client: sends the requests; whoever made it sets its pool, proxies and cookies.
        issuer: as the provider spells it, to the last character.
    """

    def __init__(
        self, client: httpx.AsyncClient, issuer: str, *, budget_s: float = BUDGET_S
    ) -> None:
        self._client = client
        self._issuer = issuer
        self._budget_s = budget_s

    async def metadata(self) -> Mapping[str, Any]:
        return await self._in_time(self._metadata())

    async def keys(self) -> PublicKeys:
        return await self._in_time(self._keys())

    async def _in_time(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._budget_s):
                return await work
        except TimeoutError as exc:
            raise SignInUnavailable from exc

    async def _keys(self) -> PublicKeys:
        place = (await self._metadata()).get("jwks_uri")
        if not isinstance(place, str) or not is_safe_address(place):
            raise SignInUnavailable from ValueError("the metadata has no good jwks_uri")
        body = await self._get(place)
        try:
            return parse_keys(body)
        except ValueError as exc:
            raise SignInUnavailable from exc

    async def _metadata(self) -> Mapping[str, Any]:
        body = await self._get(self._issuer.rstrip("/") + WELL_KNOWN)
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise SignInUnavailable from exc
        if not isinstance(found, dict) or found.get("issuer") != self._issuer:
            raise SignInUnavailable from ValueError("the metadata names another issuer")
        return found

    async def _get(self, url: str) -> bytes:
        answer = bytearray()
        try:
            async with self._client.stream(
                "GET", url, headers={"Accept": "application/json"}
            ) as response:
                if response.status_code != httpx.codes.OK:
                    raise SignInUnavailable from ValueError(f"answered {response.status_code}")
                if "Content-Encoding" in response.headers:
                    # It was not asked for, and could unpack to any size past the limit.
                    raise SignInUnavailable from ValueError("the answer is compressed")
                async for chunk in response.aiter_bytes():
                    answer += chunk
                    if len(answer) > ANSWER_LIMIT_BYTES:
                        raise SignInUnavailable from ValueError("the answer is too long")
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise SignInUnavailable from exc
        return bytes(answer)
