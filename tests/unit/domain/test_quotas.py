"""How quotas are written, which ones a caller has, and when a day or month begins anew."""

from __future__ import annotations

import calendar
import time
from typing import Any

import pytest

from gateway.domain.limit_rules import LimitFaults, parse_limits, parse_obligation
from gateway.domain.limit_table import LimitTable, MalformedObligation
from gateway.domain.quotas import DAY_S, Quota, period_at, spent_quota, utc_text

DAILY = Quota("query:run", "subject", 100, "day")
MONTHLY = Quota("query:run", "tenant", 9_000, "month")


def test_quotas_stand_among_the_limits() -> None:
    text = "query:run 60/m per subject, 100 tokens/day per subject, 9000 tokens/month per tenant"
    rate, *quotas = parse_limits(text)

    assert quotas == [DAILY, MONTHLY]
    assert [one.name for one in quotas] == [
        "query:run/subject/tokens/day",
        "query:run/tenant/tokens/month",
    ]
    assert parse_limits("; ".join(str(one) for one in (rate, *quotas))) == (rate, *quotas)
    assert parse_obligation("query:run", "100 tokens/day") == (DAILY,)


@pytest.mark.parametrize(
    "text",
    [
        "query:run 100 tokens/day",
        "query:run 100 tokens/week per subject",
        "query:run 100 tokens/day per address",
        "query:run 0 tokens/day per subject",
        "query:run 1000000000001 tokens/day per subject",
        "query:run 99999999999999999999999 tokens/day per subject",
        "documents:* 100 tokens/day per subject",
        "login 100 tokens/day per account",
        "query:run 100 tokens per subject",
        "query:run 100 tokens/day per subject, 200 tokens/day per subject",
    ],
)
def test_a_quota_that_cannot_be_held_is_a_fault(text: str) -> None:
    with pytest.raises(LimitFaults):
        parse_limits(text)


def under(table: LimitTable, said: Any) -> tuple[Quota, ...]:
    return table.quotas_under("query:run", {"limits": said})


def test_a_verdict_changes_the_quota_of_the_same_name() -> None:
    table = LimitTable((DAILY, MONTHLY))

    assert table.quotas_under("query:run", {}) == (DAILY, MONTHLY)
    assert table.quotas_under("documents:list", {}) == ()
    smaller = Quota("query:run", "subject", 5, "day")
    assert under(table, {"query:run": "5 tokens/day, 9/m"}) == (MONTHLY, smaller)
    added = Quota("query:run", "subject", 5, "month")
    assert under(table, {"query:run": "5 tokens/month"}) == (DAILY, MONTHLY, added)
    assert table.under("query:run", {"limits": {"query:run": "5 tokens/day"}}, print) == ()


def test_a_malformed_quota_opens_no_door() -> None:
    """The configured one stays, or nobody is let in."""
    said = {"query:run": "5 tokens/dya"}
    assert under(LimitTable((DAILY,)), said) == (DAILY,)
    with pytest.raises(MalformedObligation):
        under(LimitTable((MONTHLY,)), said)


def test_a_quota_in_a_verdict_that_nobody_counts_is_told() -> None:
    told: list[str] = []
    rates = parse_limits("query:run 60/m per subject")
    said = {"limits": {"query:run": "5 tokens/day"}}

    LimitTable(rates).under("query:run", said, told.append)
    LimitTable(rates, counts_tokens=True).under("query:run", said, told.append)

    assert len(told) == 1
    assert "GATEWAY_USAGE_COUNTED" in told[0]


def at(text: str) -> float:
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M")))


@pytest.mark.parametrize(
    ("now", "day", "month", "month_ends"),
    [
        ("2027-01-01 00:00", "2027-01-01", "2027-01", "2027-02-01T00:00:00Z"),
        ("2026-12-31 23:59", "2026-12-31", "2026-12", "2027-01-01T00:00:00Z"),
        ("2028-02-29 12:00", "2028-02-29", "2028-02", "2028-03-01T00:00:00Z"),
    ],
)
def test_days_and_months_are_those_of_utc(now: str, day: str, month: str, month_ends: str) -> None:
    today, this_month = period_at("day", at(now)), period_at("month", at(now) + 0.9)

    assert (today.label, this_month.label) == (day, month)
    assert today.begins_at <= at(now) < today.ends_at == today.begins_at + DAY_S
    assert utc_text(this_month.begins_at) == f"{month}-01T00:00:00Z"
    assert utc_text(this_month.ends_at) == month_ends


def test_of_several_spent_quotas_the_longest_is_told() -> None:
    now = at("2026-12-30 23:00")

    assert spent_quota([(DAILY, 99), (MONTHLY, 8_999)], now) is None
    short = spent_quota([(DAILY, 100), (MONTHLY, 8_999)], now)
    long = spent_quota([(DAILY, 100), (MONTHLY, 9_000)], now)

    assert short is not None
    assert (short.quota, short.retry_after_s) == (DAILY, 3600)
    assert long is not None
    assert (long.quota, long.retry_after_s) == (MONTHLY, 3600 + DAY_S)
