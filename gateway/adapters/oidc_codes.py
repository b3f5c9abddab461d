"""Codes of a sign-in, redeemed at the provider's token endpoint.

One ``POST`` on a connection of its own, within a budget, and never a second one: a code is good
once, and a provider that sees it twice may end what it gave for it (RFC 6749, 4.1.2). There are
three outcomes: an ID token; ``invalid_grant``, which is the browser's affair (``SignInFailed``);
and everything else, which is the provider's, or that of who set the gateway up
(``SignInUnavailable``, with the reason for the log).

Sources: RFC 6749 (2.3.1, 4.1.3, 5), RFC 7636 (4.5), OpenID Connect Core 1.0 (3.1.3).
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote_plus

import httpx
import msgspec

from gateway.domain.provider_places import Places
from gateway.errors import Overloaded, SignInFailed, SignInUnavailable

ANSWER_LIMIT_BYTES: Final = 64 * 1024
# A sign-in takes a person seconds: so many that wait for the provider at once are no people.
AT_ONCE: Final = 64

# The characters of an error's name that may stand in the log (RFC 6749, 5.2, has more).
_NAME = re.compile(r"[a-z_]{1,40}\Z")


class OidcCodes:
    """Implements ``ports.Codes``.

    Args:
        client: sends the requests; whoever made it sets its pool, proxies and cookies.
        client_secret: ``None`` for a public client, whose codes PKCE alone protects.
        budget_s: seconds that one code may take, connecting included.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        client_id: str,
        client_secret: str | None,
        budget_s: float,
    ) -> None:
        self._client = client
        self._client_id = client_id
        self._client_secret = client_secret
        self._budget_s = budget_s
        self._under_way = 0

    def use_secret(self, client_secret: str | None) -> None:
        self._client_secret = client_secret

    async def redeem(self, places: Places, code: str, *, verifier: str, redirect_uri: str) -> str:
        if self._under_way >= AT_ONCE:
            raise Overloaded
        self._under_way += 1
        try:
            async with asyncio.timeout(self._budget_s):
                fields = {
                    "grant_type": "authorization_code",
                    "code": code,
                    "redirect_uri": redirect_uri,
                    "code_verifier": verifier,
                }
                status, body = await self._exchange(places, fields)
        except (httpx.HTTPError, TimeoutError) as exc:
            raise SignInUnavailable from exc
        finally:
            self._under_way -= 1
        return _id_token(status, body)

    async def _exchange(self, places: Places, fields: dict[str, str]) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", "Connection": "close"}
        if self._client_secret is None:
            fields["client_id"] = self._client_id
        elif places.secret_in_body:
            fields |= {"client_id": self._client_id, "client_secret": self._client_secret}
        else:
            headers["Authorization"] = _basic(self._client_id, self._client_secret)
        answer = bytearray()
        async with self._client.stream(
            "POST", places.token, data=fields, headers=headers, follow_redirects=False
        ) as response:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                # It was not asked for, and could unpack to any size past the limit.
                raise SignInUnavailable from ValueError("the token endpoint's answer is compressed")
            async for chunk in response.aiter_bytes():
                answer += chunk
                if len(answer) > ANSWER_LIMIT_BYTES:
                    raise SignInUnavailable from ValueError("the token endpoint's answer is long")
            return response.status_code, bytes(answer)


def _basic(client_id: str, client_secret: str) -> str:
    """RFC 6749, 2.3.1: both are encoded as a form's values are, before Basic joins them."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return f"Basic {base64.b64encode(pair.encode('ascii')).decode('ascii')}"


def _id_token(status: int, body: bytes) -> str:
    answer = _parsed(body)
    if status == httpx.codes.OK:
        token = answer.get("id_token")
        if isinstance(token, str) and token:
            return token
        raise SignInUnavailable from ValueError("the token endpoint gave no ID token")
    error = answer.get("error")
    if status in (httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED) and error == "invalid_grant":
        raise SignInFailed(reason="sign_in_code")
    shown = error if isinstance(error, str) and _NAME.match(error) else ""
    raise SignInUnavailable from ValueError(f"the token endpoint answered {status} {shown}".strip())


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}
