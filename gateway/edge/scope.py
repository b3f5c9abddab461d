"""What the gateway knows of one request while it is under way, kept at ``request.ctx.scope``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from sanic import Request

from gateway.domain.doors import Door
from gateway.domain.identity import Principal
from gateway.domain.limit_counts import Found
from gateway.domain.policy import Decision, PolicyQuestion
from gateway.domain.usage import QuotaState
from gateway.edge.wire.http1 import when_over
from gateway.errors import GatewayError
from gateway.flows.answer_stream import Answer
from gateway.flows.authentication_method import RetainedCredential
from gateway.flows.credentials import Credential
from gateway.flows.leases import Held
from gateway.flows.login import LoginAttempt
from gateway.flows.recheck import Grant
from gateway.ports import Deadline, OnBehalfOf
from gateway.telemetry.tracing import Span


class SocketEnd(NamedTuple):
    """How a socket ended: the close code, a word for what closed it, the questions it was put."""

    code: int
    outcome: str
    questions: int


@dataclass(slots=True)
class Scope:
    """Filled from front to back by the pipeline; the access log reads it at the end.

    ``started_s`` is monotonic; ``deadline`` bounds all S3 and Temporal work of the request. Both
    are moved on by what the client takes to send its body: that time is not the gateway's.
    ``door`` is the protocol that it came by, at first its route's; ``going`` the version of a route
    that will end. ``retained`` is in place of
    ``credential`` where that was accepted some time ago, on the same socket: the caller is who it
    stands for now. ``held`` are the leases by which its stream is counted as open, ``limits`` and
    ``quotas`` all that were asked for. ``meter`` is told the caller's answer when it is over, where
    tokens are counted.
    """

    request_id: str
    client_ip: str
    traceparent: str | None
    started_s: float
    deadline: Deadline
    principal: Principal | None = None
    login: LoginAttempt | None = None
    owner: str | None = None
    action: str | None = None
    decision: Decision | None = None
    credential: Credential | None = field(default=None, repr=False)
    policy_question: PolicyQuestion | None = None
    error: GatewayError | None = None
    upstream: str | None = None
    stream_end: str | None = None
    first_byte_s: float | None = None
    sent_bytes: int = 0
    streamed: bool = False
    auth_reason: str | None = field(default=None)
    span: Span | None = None
    events: int = 0
    first_event_s: float | None = None
    door: Door = "http"
    going: str | None = None
    socket_end: SocketEnd | None = None
    retained: RetainedCredential | None = field(default=None, repr=False)
    held: Held | None = None
    meter: Callable[[Principal, Answer], None] | None = None
    limits: tuple[Found, ...] = ()
    quotas: tuple[QuotaState, ...] = ()
    address_counted: tuple[str, ...] = ()
    caller_counted: bool = False

    @property
    def caller(self) -> Principal:
        """The principal; only requests of public routes have none, and their handlers need none."""
        if self.principal is None:
            raise RuntimeError("a public route has no caller")
        return self.principal

    def give_back(self) -> None:
        """The leases of its stream, which is over or never began."""
        if self.held is not None:
            self.held.release()

    def leave_out(self, seconds: float) -> None:
        """Takes ``seconds`` in which the client's body was waited for out of all accounts."""
        self.started_s += seconds
        self.deadline += seconds

    def give_grant(self, retain: Callable[[Credential], RetainedCredential]) -> Grant:
        """What allowed this request, for the checks while its stream runs.

        The scope keeps the credential no longer: only what ``retain`` makes of it is needed.
        """
        if self.policy_question is None:
            raise RuntimeError("a public route has no grant")
        return Grant(self.give_credential(retain), self.policy_question)

    def give_credential(
        self, retain: Callable[[Credential], RetainedCredential]
    ) -> RetainedCredential:
        """The credential that the caller was let in with, as it is to be kept."""
        if self.retained is None:
            if self.credential is None:
                raise RuntimeError("a public route has no credential")
            self.retained, self.credential = retain(self.credential), None
        return self.retained

    def on_behalf_of(self) -> OnBehalfOf:
        """Whom the core is called for: the owner in ``?owner=``, with the caller as the actor."""
        caller = self.caller
        owner = self.owner or caller.subject
        return OnBehalfOf(
            subject=owner,
            tenant=caller.tenant,
            roles=caller.roles,
            request_id=self.request_id,
            actor=None if self.owner is None else caller.subject,
            traceparent=self.traceparent,
        )


def scope_of(request: Request) -> Scope:
    return cast(Scope, request.ctx.scope)


def hold(request: Request, held: Held) -> None:
    """Leases for the stream of ``request``: given back at its end, or at the request's own."""
    scope_of(request).held = held
    when_over(request, held.release)


def deadline_in(seconds: float) -> Deadline:
    return asyncio.get_running_loop().time() + seconds


def now_s() -> float:
    return time.monotonic()
