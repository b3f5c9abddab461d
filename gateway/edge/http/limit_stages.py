"""The two stages of the pipeline that say how much, and what they leave on the answer.

What is counted: a request to a route with an action, and a login. Its HEAD counts as its GET.
Nothing that no route takes (404, 405), no preflight, no health check and no page of the
documentation. A request is charged once: where it is asked again, because its body took long, it
is not charged again, and where only its body says what it asks for, no limit counts it twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from sanic import Request
from sanic.response import BaseHTTPResponse

from gateway.domain.limit_counts import Found, header_fields, refusal
from gateway.edge.http.endpoint import Endpoint
from gateway.edge.scope import Scope, hold
from gateway.flows.limits import Limits


class LimitStages:
    """Made only where limits are set.

    Attributes:
        before_identity: the stages that need no caller.
        after_verdict: those that need one, and what the policy says.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
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
        """After the verdict, with what it says of limits."""
        if endpoint is None or endpoint.action is None or scope.caller_counted:
            return
        scope.caller_counted = True
        assert scope.decision is not None
        obligations = scope.decision.obligations
        found, held = await self._limits.of_caller(endpoint.action, scope.caller, obligations)
        if held is not None:
            hold(request, held)
        note(scope, found)


def note(scope: Scope, found: Sequence[Found]) -> None:
    """Keeps what was found for the answer's head.

    Raises:
        RateLimited: one of them did not pass.
    """
    scope.limits = (*scope.limits, *found)
    refused = refusal(found)
    if refused is not None:
        raise refused


def add_fields(response: BaseHTTPResponse, found: Sequence[Found]) -> None:
    """The two fields of the limits; answers of other routes have none."""
    policy, service = header_fields(found)
    response.headers["RateLimit-Policy"] = policy
    response.headers["RateLimit"] = service
