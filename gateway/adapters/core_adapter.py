"""What both adapters of the core share, whichever protocol it speaks.

Whom they ask for and with which token, who listens to revisions, the health check over all
addresses, and what a status that is no success means.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Generic, TypeAlias

import httpx

from gateway.adapters.core_calls import (
    NO_ADDRESS,
    Body,
    CoreCalls,
    CoreTimeouts,
    Head,
    Way,
    any_good,
    raise_for_transport,
)
from gateway.domain.balancing import Address, Balancer, Lease, RetryBudget
from gateway.domain.corpus_revision import Told, is_revision
from gateway.domain.headers import core_headers
from gateway.domain.ids import is_uuid7
from gateway.errors import (
    CoreProtocolError,
    CoreTimeout,
    CoreUnavailable,
    GatewayError,
    NotFound,
    Overloaded,
    ValidationFailed,
)
from gateway.ports import OnBehalfOf

log = logging.getLogger("gateway.core")

# How long a health check waits for one address before it asks another one as well.
ASK_NEXT_S = 0.1

MakeCalls: TypeAlias = Callable[[Way[Body], Balancer, CoreTimeouts], CoreCalls[Body]]


class CoreAdapter(Generic[Body]):
    """The part of ``ports.Core`` that no protocol decides.

    Args:
        way: how a call goes to an address.
        cores: the addresses of one and the same core: URLs that stay, or a balancer that somebody
            else keeps up to date (``http_client.discovery``).
        token: ``GATEWAY_CORE_TOKEN``, which the core checks.
        calls: what sends them; ``limited_calls.LimitedCalls`` keeps addresses from overload.
    """

    def __init__(
        self,
        way: Way[Body],
        cores: Sequence[str] | Balancer,
        token: str,
        *,
        timeouts: CoreTimeouts,
        calls: MakeCalls[Body],
    ) -> None:
        if not isinstance(cores, Balancer):
            if not cores:
                raise ValueError("at least one base URL of the core is needed")
            cores = Balancer(Random(), [Address(url.rstrip("/")) for url in cores])
        self._balancer = cores
        self._token = token
        self._timeouts = timeouts
        self._calls = calls(way, cores, timeouts)
        self._listener: Told | None = None

    @property
    def retries(self) -> RetryBudget:
        return self._calls.budget

    def use_token(self, token: str) -> None:
        """Another one from the next call on."""
        self._token = token

    def tell(self, listener: Told) -> None:
        """Tells it which revision of whose documents each answer's head names, from now on."""
        self._listener = listener

    async def check(self) -> None:
        """Asks for its health: good when one address answers well, be the others slow or gone.

        Raises:
            CoreUnavailable, CoreTimeout, CoreProtocolError: no address did.
        """
        if not self._balancer.addresses:
            raise CoreUnavailable from ValueError(NO_ADDRESS)
        asked: list[Address] = []
        try:
            async with asyncio.timeout(self._timeouts.check_s) as bound:
                ask = partial(self._check_next, asked, bound.expired)
                await any_good([ask] * len(self._balancer), ASK_NEXT_S)
        except TimeoutError as exc:
            raise CoreTimeout from exc

    async def _check_next(self, asked: list[Address], late: Callable[[], bool]) -> None:
        """Asks an address that is not in ``asked``, and notes it there."""
        lease = self._calls.lease(asked)
        asked.append(lease.address)
        try:
            await self._check_at(lease, late)
        except httpx.TransportError as exc:
            raise_for_transport(exc)

    async def _check_at(self, lease: Lease, late: Callable[[], bool]) -> None:
        """Asks one address. Raises what ``check`` raises, or ``httpx.TransportError``."""
        raise NotImplementedError

    def _headers(self, who: OnBehalfOf) -> dict[str, str]:
        return core_headers(
            token=self._token,
            subject=who.subject,
            tenant=who.tenant,
            roles=who.roles,
            request_id=who.request_id,
            actor=who.actor,
            traceparent=who.traceparent,
        )

    def _now(self) -> float:
        return 0.0 if self._listener is None else self._listener.now()

    def _overhear(self, who: OnBehalfOf, answer: Head, sent_at: float) -> None:
        """A head that names no revision says nothing: not every call depends on documents."""
        if self._listener is None:
            return
        revision = revision_in(answer)
        if revision is not None:
            self._listener.told(who.tenant, who.subject, revision, sent_at)


def revision_in(answer: Head) -> str | None:
    """What an answer's head says of the revision of its owner's documents, if it says one."""
    revision = answer.header(b"x-kb-corpus-revision")
    return revision if is_revision(revision) else None


def whole_seconds(text: str) -> int | None:
    """A core's time to wait, kept between 1 s and 5 min; ``None`` for what is no whole number."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return None
    return min(max(int(text), 1), 300)


def checked_id(document_id: str) -> str:
    """Raises ``ValueError`` for what is no document's id: nothing is ever built from it."""
    if not is_uuid7(document_id):
        raise ValueError("document ids are checked before any use")
    return document_id


def refuse_for(fault: str | None) -> None:
    """Records that cannot be are as good as none: nothing of them is shown."""
    if fault is not None:
        log.error("core_bad_record", extra={"fault": fault})
        raise CoreProtocolError


def unhealthy(status: int) -> CoreUnavailable:
    """What a health check says of an answer with this status."""
    hint = "; is GATEWAY_CORE_TOKEN the core's?" if status in (401, 403) else ""
    error = CoreUnavailable()
    error.__cause__ = ValueError(f"the core's health answer is {status}{hint}")
    return error


# The statuses behind which a core's error shape is looked at.
NAMES_ITS_CODE = (400, 404, 422)


def refusal(status: int, code: str | None, retry_after_s: int | None) -> GatewayError:
    """What a core's status that is no success means to a client of ours.

    ``code`` is the core's own, where its status is one of ``NAMES_ITS_CODE`` and it says one.
    """
    log.warning("core_status", extra={"status": status})
    if status in NAMES_ITS_CODE:
        if code == ValidationFailed.code:
            return ValidationFailed()
        if status == 404 and code == NotFound.code:
            return NotFound()
        return CoreProtocolError()
    if status in (401, 403):
        # Ours is the only credential on that call: a wrong GATEWAY_CORE_TOKEN, no client's.
        log.error("core_refused_the_gateways_token", extra={"status": status})
        return CoreUnavailable()
    if status in (429, 503):
        return Overloaded(retry_after_s=retry_after_s)
    return CoreUnavailable() if status >= 500 else CoreProtocolError()
