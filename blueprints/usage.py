"""What somebody used and has left."""

from __future__ import annotations

import msgspec
from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from gateway.domain.limit_counts import Found
from gateway.domain.quotas import utc_text
from gateway.domain.usage import QuotaState
from gateway.edge.http.endpoint import Success, route
from gateway.edge.http.render import json_response
from gateway.edge.scope import scope_of
from gateway.errors import SharedStateUnavailable
from gateway.flows.usage_report import KeyReport, PeriodUse, Report, UsageReport

blueprint = Blueprint("usage", url_prefix="/usage")


class TokensUsed(msgspec.Struct, frozen=True):
    """Tokens of one day or month of UTC; ``estimated_tokens`` of answers that told no usage."""

    per: str
    period: str
    begins_at: str
    ends_at: str
    prompt_tokens: int
    completion_tokens: int
    estimated_tokens: int
    total_tokens: int


class QuotaLeft(msgspec.Struct, frozen=True):
    quota: str
    per: str
    limit: int
    used: int
    left: int
    renews_at: str


class LimitLeft(msgspec.Struct, frozen=True):
    """``left`` requests, or open streams, would pass now; else one in ``retry_after_s``."""

    limit: str
    per: str
    allowed: str
    left: int
    retry_after_s: float


class KeyUsed(msgspec.Struct, frozen=True):
    key_id: str
    last_used_at: str
    tokens_day: int
    tokens_month: int


class UsageFound(msgspec.Struct, frozen=True):
    """``counted`` is false where the gateway counts no tokens; then only ``limits`` are told."""

    tenant: str
    subject: str
    counted: bool
    tokens: list[TokensUsed]
    quotas: list[QuotaLeft]
    limits: list[LimitLeft]
    keys: list[KeyUsed]


@route(
    blueprint,
    "GET",
    "",
    action="usage:read",
    name="usage",
    any_owner=True,
    summary="What was used, and what is left",
    successes=(Success(200, "Tokens, quotas, limits, keys.", UsageFound),),
    errors=(SharedStateUnavailable,),
)
async def usage(request: Request, reports: UsageReport) -> HTTPResponse:
    scope = scope_of(request)
    caller = scope.caller
    obligations = scope.decision.obligations if scope.decision is not None else {}
    report = await reports.of(caller, scope.owner, obligations)
    found = _found(report, caller.tenant, scope.owner or caller.subject)
    return json_response(msgspec.to_builtins(found))


def _found(report: Report, tenant: str, subject: str) -> UsageFound:
    return UsageFound(
        tenant,
        subject,
        report.counted,
        [_tokens(one) for one in report.tokens],
        [_quota(one) for one in report.quotas],
        [_limit(one) for one in report.limits],
        [_key(one) for one in report.keys],
    )


def _tokens(one: PeriodUse) -> TokensUsed:
    spent = one.spent
    return TokensUsed(
        one.per,
        one.period,
        utc_text(one.at.begins_at),
        utc_text(one.at.ends_at),
        spent.prompt,
        spent.completion,
        spent.estimated,
        spent.total,
    )


def _quota(one: QuotaState) -> QuotaLeft:
    quota, renews_at = one.quota, utc_text(one.account.ends_at)
    return QuotaLeft(quota.name, quota.per, quota.tokens, one.used, one.left, renews_at)


def _limit(one: Found) -> LimitLeft:
    limit, outcome = one.limit, one.outcome
    # A look asks what one more would get; what would pass is left.
    left = outcome.left + 1 if outcome.passed else 0
    wait_s = 0.0 if outcome.passed else round(outcome.retry_after_s, 3)
    return LimitLeft(limit.name, limit.per, limit.allowed, left, wait_s)


def _key(one: KeyReport) -> KeyUsed:
    tokens = one.tokens
    return KeyUsed(one.key_id, utc_text(one.used_at), tokens["day"], tokens["month"])
