"""The two stages of the pipeline that say how much, and what they leave on the answer.

What is counted: a request to a route with an action, and a login. Its HEAD counts as its GET.
Nothing that no route takes (404, 405), no preflight, no health check and no page of the
documentation. A request is charged once: where it is asked again, because its body took long, it
is not charged again, and where only its body says what it asks for, no limit counts it twice.

Where tokens are counted, questions ask for their quotas in the same call. A spent quota comes
before the limits: who has no tokens left is charged no request either.
"""

from __future__ import annotations

from collections.abc import Sequence

from sanic import Request
from sanic.response import BaseHTTPResponse

from gateway.domain.actions import STREAMED
from gateway.domain.limit_counts import Found, refusal
from gateway.domain.limit_fields import header_fields
from gateway.domain.usage import AskedQuota
from gateway.edge.http.endpoint import Endpoint
from gateway.edge.scope import Scope, hold
from gateway.flows.limits import Limits
from gateway.flows.usage import Usage


class LimitStages:
    """Made only where limits are set or tokens are counted.

    Attributes:
        before_identity: the stages that need no caller.
        after_verdict: those that need one, and what the policy says.
    """

    def __init__(self, limits: Limits, usage: Usage | None = None) -> None:
        """``usage`` where tokens are counted."""
        self._limits = limits
        self._usage = usage
        self._meter = None if usage is None else usage.charge
        self.before_identity = (self.limit_address,) if limits.table.counts_addresses else ()
        self.after_verdict = (self.limit_caller,)

    async def limit_address(
        self, _request: Request, scope: Scope, endpoint: Endpoint | None
    ) -> None:
        """Before anybody is identified: made-up credentials of one address count there, too."""
        if (
            endpoint is None
            or endpoint.counted_as is None
            or endpoint.counted_as in scope.address_counted
        ):
            return
        counted, scope.address_counted = (
            scope.address_counted,
            (
                *scope.address_counted,
                endpoint.counted_as,
            ),
        )
        found = await self._limits.of_address(endpoint.counted_as, scope.client_ip, counted)
        note(scope, found)

    async def limit_caller(self, request: Request, scope: Scope, endpoint: Endpoint | None) -> None:
        """After the verdict, with what it says of limits and quotas."""
        if endpoint is None or endpoint.action is None or scope.caller_counted:
            return
        scope.caller_counted = True
        assert scope.decision is not None
        obligations = scope.decision.obligations
        usage = self._usage
        asked = () if usage is None else self._quotas(usage, scope, endpoint.action)
        found, held, outcomes = await self._limits.of_caller(
            endpoint.action, scope.caller, obligations, [one.budget for one in asked]
        )
        if held is not None:
            hold(request, held)
        if usage is not None and asked:
            scope.quotas = usage.found(asked, outcomes)
            usage.refuse_spent(scope.quotas)
        note(scope, found)
        if usage is not None and asked and not scope.quotas:
            usage.let_in()

    def _quotas(self, usage: Usage, scope: Scope, action: str) -> Sequence[AskedQuota]:
        """Those that have to be asked for; only actions whose answers cost tokens have some."""
        usage.use_key(scope.caller)
        if action not in STREAMED:
            return ()
        scope.meter = self._meter
        assert scope.decision is not None
        return usage.asked(action, scope.caller, scope.decision.obligations)


def note(scope: Scope, found: Sequence[Found]) -> None:
    """Keeps what was found for the answer's head.

    Raises:
        RateLimited: one of them did not pass.
    """
    scope.limits = (*scope.limits, *found)
    refused = refusal(found)
    if refused is not None:
        raise refused


def add_fields(response: BaseHTTPResponse, scope: Scope, now: float) -> None:
    """The two fields of limits and quotas; answers of other routes have none.

    ``now`` is in Unix seconds.
    """
    policy, service = header_fields(scope.limits, scope.quotas, now)
    response.headers["RateLimit-Policy"] = policy
    response.headers["RateLimit"] = service
