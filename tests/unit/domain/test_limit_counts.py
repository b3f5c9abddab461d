"""What a request is counted under, and what the outcomes become: a refusal, two header fields."""

from __future__ import annotations

import math

import pytest

from gateway.domain.identity import Principal
from gateway.domain.limit_counts import (
    Found,
    asked_of,
    network_of,
    refusal,
)
from gateway.domain.limit_fields import header_fields
from gateway.domain.limit_rules import parse_limits
from gateway.domain.limits import Counted, Outcome, charged, leased

ADA = Principal("ada", "acme", frozenset({"reader"}), "jwt", "jti-1")
ADAS_KEY = Principal("ada", "acme", frozenset({"reader"}), "api_key", "key-1")
TEXT = "query:run 8 open per subject, 60/m burst 10 per subject, 9/s per key; *:* 1200/m per tenant"


def test_rates_are_asked_before_open_streams_and_each_under_its_own_key() -> None:
    asked = asked_of(parse_limits(TEXT), ADAS_KEY)

    assert [charge.key for charge in asked.charges] == [
        "query:run/subject/m/acme/ada",
        "query:run/key/s/key-1",
        "*:*/tenant/m/acme",
    ]
    assert [lease.key for lease in asked.leases] == ["query:run/subject/open/acme/ada"]
    assert [limit.name for limit in asked.limits] == [
        *("query:run/subject/m", "query:run/key/s", "*:*/tenant/m", "query:run/subject/open")
    ]


def test_a_limit_per_key_counts_nobody_with_a_token() -> None:
    asked = asked_of(parse_limits(TEXT), ADA)

    assert not [charge for charge in asked.charges if "/key/" in charge.key]


def test_an_ipv6_client_is_counted_by_his_network() -> None:
    """All addresses of a /64 are one customer's."""
    assert network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::") == "2001:db8:1:2::/64"
    assert network_of("203.0.113.7") == "203.0.113.7"


def found(text: str, *outcomes: Outcome) -> list[Found]:
    return [Found(*both) for both in zip(parse_limits(text), outcomes, strict=True)]


PASSED = Outcome(True, 9, 0.0, 1.0)


def test_nothing_is_refused_where_all_pass() -> None:
    assert refusal([]) is None
    assert refusal(found("query:run 60/m per subject", PASSED)) is None


def test_a_refusal_names_the_limit_that_lasts_longest() -> None:
    error = refusal(
        found(
            "query:run 60/m per subject, 100/h burst 5 per tenant; *:* 9/s per key",
            *(Outcome(False, 0, 0.2, 60.0), Outcome(False, 0, 35.01, 180.0), PASSED),
        )
    )

    assert error is not None
    assert error.details == {
        "limit": "query:run/tenant/h",
        "allowed": "100/h burst 5 per tenant",
        "left": 0,
        "retry_after_s": 36,
    }
    assert error.retry_after_s == 36


def test_a_wait_is_never_shorter_than_a_second() -> None:
    """``Retry-After`` is in whole seconds (RFC 9110, 10.2.3), and 0 would mean now."""
    error = refusal(found("query:run 900/s per subject", Outcome(False, 0, 1e-4, 1.0)))

    assert error is not None
    assert error.retry_after_s == 1


def test_what_never_passes_is_not_asked_for_every_second() -> None:
    error = refusal(found("query:run 8 open per subject", leased(0, 0)))

    assert error is not None
    assert error.retry_after_s == 3600


def test_too_many_open_streams_are_told_apart_from_too_many_requests() -> None:
    error = refusal(found("query:run 8 open per subject", leased(8, 8)))

    assert error is not None
    assert "open streams" in error.message
    assert error.limit.rate is None


def test_the_fields_list_every_limit_that_was_asked_for() -> None:
    """``q`` and ``w`` are the rate, ``r`` what is left now, ``t`` when one more is."""
    policy, service = header_fields(
        found(
            "query:run 60/m burst 10 per subject, 1200/h per tenant, 8 open per subject",
            *(PASSED, Outcome(False, 0, 2.2, 3600.0), leased(8, 2)),
        )
    )

    assert policy == (
        '"query:run/subject/m";q=60;w=60;kbg-burst=10, "query:run/tenant/h";q=1200;w=3600,'
        ' "query:run/subject/open";q=8;qu="concurrent-requests"'
    )
    assert service == (
        '"query:run/subject/m";r=9;t=1, "query:run/tenant/h";r=0;t=3, "query:run/subject/open";r=5'
    )


@pytest.mark.parametrize("waited_s", [0.0, 0.3, 0.999, 1.0, 7.5, 100.0])
def test_t_is_when_one_more_is_left_than_now(waited_s: float) -> None:
    """The rule is GCRA's own: a charge that long after finds one more, and none any earlier."""
    (limit,) = parse_limits("query:run 12/m burst 4 per subject")
    assert limit.rate is not None
    counted, now = Counted(0.0), 1000.0
    for _ in range(3):
        _, counted = charged(limit.rate, 1, counted, now)
    now += waited_s
    outcome, after = charged(limit.rate, 1, counted, now)

    _, service = header_fields([Found(limit, outcome)])

    t = int(service.partition(";t=")[2])
    left, _ = charged(limit.rate, 1, after, now + t)
    assert left.left >= outcome.left
    just_before, _ = charged(limit.rate, 1, after, now + t - 1.001)
    assert just_before.left < outcome.left or outcome.left == 0
    assert t == math.ceil(t)


def test_nothing_is_said_of_when_where_all_is_left() -> None:
    _, service = header_fields(found("query:run 5/m per subject", Outcome(True, 5, 0.0, 0.0)))

    assert service == '"query:run/subject/m";r=5'
