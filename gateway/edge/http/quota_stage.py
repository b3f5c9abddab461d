"""The stage of the pipeline that asks whether tokens are left, before the core is asked.

It comes before the limits: who has no tokens left is charged no request either. Only actions whose
answers cost tokens are asked about.
"""

from __future__ import annotations

from sanic import Request

from gateway.domain.actions import STREAMED
from gateway.edge.http.endpoint import Endpoint
from gateway.edge.scope import Scope
from gateway.flows.usage import Usage


class QuotaStage:
    """Made only where tokens are counted."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._charge = usage.charge

    async def refuse_spent(
        self, _request: Request, scope: Scope, endpoint: Endpoint | None
    ) -> None:
        """After the verdict, with what it says of quotas; once for each request."""
        if endpoint is None or endpoint.action is None or scope.meter is not None:
            return
        self._usage.use_key(scope.caller)
        if endpoint.action not in STREAMED:
            return
        assert scope.decision is not None
        obligations = scope.decision.obligations
        await self._usage.refuse_spent(endpoint.action, scope.caller, obligations)
        scope.meter = self._charge
