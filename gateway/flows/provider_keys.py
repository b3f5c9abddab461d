"""The provider's public keys, as one worker knows them.

- A key that is not known is asked for, at most once in ``REFRESH_S``, whoever asks and however
  many: a flood of made-up key ids costs the provider one question. Who comes meanwhile waits for
  the answer to that one.
- Known keys are asked for again every ``RENEW_S`` while there are tokens, behind nobody's back: a
  key that the provider withdrew is believed no longer than that.
- While the provider is away, or talks nonsense, the keys of before stay. What they cannot judge is
  ``SignInUnavailable`` then, and not the token's fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Protocol

import structlog

from gateway.domain.company_tokens import TokenHeader
from gateway.domain.public_keys import PublicKey, PublicKeys
from gateway.errors import SignInUnavailable, Unauthenticated
from gateway.ports import Clock, Deadline, IdentityProvider

log = structlog.get_logger("gateway.sign_in")

REFRESH_S: Final = 30.0
RENEW_S: Final = 300.0


class Spawn(Protocol):
    """Runs background work under a name."""

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]: ...


class ProviderKeys:
    """Attributes: ``refreshed`` and ``failed`` count how often they were asked for, and in vain."""

    def __init__(self, provider: IdentityProvider, clock: Clock, tasks: Spawn) -> None:
        self._provider = provider
        self._clock = clock
        self._tasks = tasks
        self._keys: PublicKeys | None = None
        self._under_way: asyncio.Task[Any] | None = None
        self._asked_at = float("-inf")
        self._fault: SignInUnavailable | None = None
        self.refreshed = 0
        self.failed = 0

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """Those known now."""
        return () if self._keys is None else self._keys.keys

    def holds(self, key: PublicKey | None) -> bool:
        """Whether the provider still has the key, as far as this worker knows."""
        self._renew_when_old()
        return self._keys is not None and key is not None and key in self._keys

    def withdrew(self, key: PublicKey | None) -> bool:
        """Whether the provider is known to have other keys, and this one no more."""
        self._renew_when_old()
        return self._keys is not None and not (key is not None and key in self._keys)

    def known(self, header: TokenHeader) -> PublicKey | None:
        if self._keys is None:
            return None
        return self._keys.find(header.key_id, header.algorithm)

    async def find(self, header: TokenHeader, deadline: Deadline) -> PublicKey:
        """The key that a token's head asks for.

        Raises:
            Unauthenticated: the provider has no such key.
            SignInUnavailable: it has not said so, and is away.
        """
        self._renew_when_old()
        key = self.known(header)
        if key is None:
            await self._refreshed(deadline)
            key = self.known(header)
        if key is None and self._fault is not None:
            raise SignInUnavailable from self._fault.__cause__
        if key is None:
            raise Unauthenticated(reason="signing_key")
        return key

    async def check(self) -> None:
        """For readiness. Raises ``SignInUnavailable`` unless the provider answered last time."""
        if self._keys is None or self._fault is not None:
            task = self._refresh()
            if task is not None:
                await asyncio.wait({task})
        if self._fault is not None:
            raise SignInUnavailable from self._fault.__cause__

    def note(self) -> str:
        """What is known, for ``gateway check``."""
        by = sorted({key.algorithm for key in self.keys})
        return f"{len(self.keys)} keys ({', '.join(by)})" if by else ""

    def _renew_when_old(self) -> None:
        if self._clock.monotonic() - self._asked_at >= RENEW_S:
            self._refresh()

    async def _refreshed(self, deadline: Deadline) -> None:
        """Waits for a question that is under way, or is made now if there may be one."""
        task = self._refresh()
        if task is None:
            return
        try:
            async with asyncio.timeout_at(deadline):
                # ``wait`` and not ``shield``: a caller who leaves here leaves nothing behind.
                await asyncio.wait({task})
        except TimeoutError as exc:
            raise SignInUnavailable from exc

    def _refresh(self) -> asyncio.Task[Any] | None:
        """``None`` where the last question was too short a time ago."""
        if self._under_way is not None:
            return self._under_way
        now = self._clock.monotonic()
        if now - self._asked_at < REFRESH_S:
            return None
        self._asked_at = now
        self._under_way = self._tasks.spawn(self._ask(), "keys of the identity provider")
        return self._under_way

    async def _ask(self) -> None:
        try:
            keys = await self._provider.keys()
        except SignInUnavailable as fault:
            self.failed += 1
            self._note(fault)
        else:
            self.refreshed += 1
            self._keys = keys
            self._note(None)
        finally:
            self._under_way = None

    def _note(self, fault: SignInUnavailable | None) -> None:
        """One line when it begins to fail, and one when it is over."""
        if fault is not None and self._fault is None:
            why = f"{type(fault.__cause__).__name__}: {fault.__cause__}"
            log.warning("the identity provider gives no keys", reason=why, known=len(self.keys))
        elif fault is None and (self._fault is not None or self.refreshed == 1):
            log.info("the identity provider gives its keys", known=len(self.keys))
        self._fault = fault
