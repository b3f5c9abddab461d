"""Signing in at the company's provider with a browser: begun at one replica, finished at any.

What the two have to know of each other travels sealed in the browser. What a sign-in ends in is a
session: what was verified of the ID token, sealed as well, which the browser keeps as a cookie and
``session_method`` reads. The provider's tokens are not kept.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.domain.code_flow import (
    SIGN_IN_S,
    Answer,
    Begun,
    Client,
    authorization_url,
    begin,
    belonging,
    check_nonce,
    checked_path,
    code_of,
)
from gateway.domain.company import Outcome
from gateway.domain.identity import Principal
from gateway.errors import GatewayError, Overloaded, SignInUnavailable
from gateway.flows.known_places import KnownPlaces
from gateway.flows.session_method import SessionMethod
from gateway.ports import Clock, Codes, Seals

# What the seal of a sign-in under way is for.
SIGN_IN: Final = "sign-in"
# How long the provider may take to say where it is, and which keys it has.
ANSWER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where the browser goes, and what it keeps for the way back, for ``lifetime_s``."""

    location: str
    state: str
    sealed: str = field(repr=False)
    lifetime_s: int = SIGN_IN_S


@dataclass(frozen=True, slots=True)
class Finished:
    """Who was let in, and what the browser keeps of it, for ``lifetime_s``.

    ``return_to`` is a path of the gateway's origin.
    """

    principal: Principal
    return_to: str
    lifetime_s: int
    sealed: str = field(repr=False)


class BrowserSignIn:
    """The use case; one per worker, where the settings say what the gateway is to the provider.

    Attributes:
        outcomes: how many sign-ins came back, by what became of them.
    """

    def __init__(
        self,
        client: Client,
        places: KnownPlaces,
        codes: Codes,
        seals: Seals,
        sessions: SessionMethod,
        clock: Clock,
    ) -> None:
        self._client = client
        self._places = places
        self._codes = codes
        self._seals = seals
        self._sessions = sessions
        self._clock = clock
        self.outcomes: Counter[Outcome] = Counter()

    async def begin(self, return_to: str, callback: str) -> Beginning:
        """``callback`` is the path where the browser comes back to finish it.

        Raises:
            ValidationFailed: it would return to another origin.
            SignInUnavailable: the provider does not say where browsers are to be sent.
        """
        begun = begin(checked_path(return_to), self._clock.time())
        places = await self._places.get(_deadline())
        return Beginning(
            location=authorization_url(places.authorization, self._client, begun, callback),
            state=begun.state,
            sealed=self._seals.seal(SIGN_IN, msgspec.json.encode(begun)),
        )

    async def finish(self, answer: Answer, kept: Sequence[str], callback: str) -> Finished:
        """``kept`` is what the browser keeps of a sign-in with this answer's state.

        Raises:
            SignInFailed: the answer is to none of these, or nobody was let in.
            Unauthenticated: the token that the provider gave is not believed.
            SignInUnavailable: the provider gave none, through no fault of the browser's.
            Forbidden: no session can hold what it says.
        """
        try:
            finished = await self._finished(answer, kept, callback)
        except GatewayError as refusal:
            away = isinstance(refusal, (SignInUnavailable, Overloaded))
            self.outcomes["unavailable" if away else "refused"] += 1
            raise
        self.outcomes["ok" if finished.principal.roles else "no_role"] += 1
        return finished

    async def _finished(self, answer: Answer, kept: Sequence[str], callback: str) -> Finished:
        begun = belonging(answer, self._opened(kept), self._clock.time())
        places = await self._places.get(_deadline())
        issuer, names_issuer = self._client.issuer, places.names_issuer
        code = code_of(answer, issuer=issuer, names_issuer=names_issuer)
        redirect_uri = self._client.public_url + callback
        token = await self._codes.redeem(
            places, code, verifier=begun.verifier, redirect_uri=redirect_uri
        )
        claims, said = await self._sessions.identify(token, _deadline())
        check_nonce(said.get("nonce"), begun)
        principal, sealed = self._sessions.begin(claims)
        lifetime_s = int(claims.expires_at - self._clock.time())
        return Finished(principal, begun.return_to, lifetime_s, sealed)

    def _opened(self, kept: Sequence[str]) -> Iterator[Begun]:
        for text in kept:
            opened = self._seals.opened(SIGN_IN, text)
            begun = None if opened is None else _decoded(opened.content)
            if begun is not None:
                yield begun


def _decoded(content: bytes) -> Begun | None:
    """``None`` for what another version of the gateway sealed."""
    try:
        return msgspec.json.decode(content, type=Begun)
    except msgspec.DecodeError:
        return None


def _deadline() -> float:
    return asyncio.get_running_loop().time() + ANSWER_S
