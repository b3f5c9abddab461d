"""How limits are written, what they are called, and all that can be wrong with them at once."""

from __future__ import annotations

import pytest

from gateway.domain.limit_rules import (
    LIMITS_MOST,
    LimitFaults,
    covers,
    parse_limits,
    parse_obligation,
)
from gateway.domain.limits import Rate

EXAMPLE = "query:run 60/m burst 10 per subject, 8 open per subject; *:* 1200/m per tenant"


def test_each_limit_of_a_statement_is_read_with_its_actions() -> None:
    """A statement names actions once; the limits behind it are parted by commas."""
    rate, opened, tenant = parse_limits(f"{EXAMPLE};")

    assert (rate.actions, rate.per, rate.rate) == ("query:run", "subject", Rate(60, 60.0, 10))
    assert (opened.actions, opened.per, opened.rate, opened.most) == (
        *("query:run", "subject"),
        *(None, 8),
    )
    assert (tenant.actions, tenant.per, tenant.rate) == ("*:*", "tenant", Rate(1200, 60.0, 1200))


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5/s", Rate(5, 1.0, 5)),
        ("5/m", Rate(5, 60.0, 5)),
        ("5/15m burst 1", Rate(5, 900.0, 1)),
        ("5/h", Rate(5, 3600.0, 5)),
        ("5/d burst 20", Rate(5, 86400.0, 20)),
        ("1000000/31d", Rate(1_000_000, 31 * 86400.0, 1_000_000)),
    ],
)
def test_units_and_bursts(text: str, rate: Rate) -> None:
    """Without ``burst`` all of a period's requests may come at once."""
    assert parse_limits(f"query:run {text} per subject")[0].rate == rate


@pytest.mark.parametrize(
    ("text", "name", "allowed"),
    [
        ("query:run 60/m burst 10 per subject", "query:run/subject/m", "60/m burst 10"),
        ("query:run 61/60s per subject", "query:run/subject/m", "61/m"),
        ("*:* 5/90s per tenant", "*:*/tenant/90s", "5/90s"),
        ("* 5/48h per address", "*/address/2d", "5/2d"),
        ("query:run 8 open per key", "query:run/key/open", "8 open"),
        ("login 5/m per account", "login/account/m", "5/m"),
    ],
)
def test_a_limit_keeps_its_name_while_only_its_numbers_change(
    text: str, name: str, allowed: str
) -> None:
    (limit,) = parse_limits(text)

    assert (limit.name, limit.allowed) == (name, allowed)
    assert parse_limits(str(limit)) == (limit,)


def test_every_fault_is_reported_at_once_with_what_was_expected() -> None:
    with pytest.raises(LimitFaults) as caught:
        parse_limits(
            "query:runn 60/m per subject; query:run 0/m per subject, 7 open per address;"
            " login 5/m per subject; query:run 5/m per account,; 7/m per subject"
        )

    assert [one.found for one in caught.value.faults] == [
        "query:runn 60/m per subject",
        "query:run 0/m per subject",
        "query:run 7 open per address",
        "login 5/m per subject",
        "query:run 5/m per account",
        "query:run",
        "7/m per subject",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("query:runn 6/m per subject", "an action such as"),
        ("documents:list:any-owner 6/m per subject", "an action such as"),
        ("docs:* 6/m per subject", "an action such as"),
        ("6/m per subject", "an action such as"),
        ("query:run", "a limit such as"),
        ("query:run 6/min per subject", "a limit such as"),
        ("query:run 6/m burst per subject", "a limit such as"),
        ("query:run 6/m per subject,", "a limit such as"),
        ("query:run 6.5/m per subject", "a limit such as"),
        ("query:run ٦/m per subject", "a limit such as"),
        ("query:run 0/m per subject", "numbers from 1"),
        ("query:run 6/m burst 0 per subject", "numbers from 1"),
        ("query:run 6/0m per subject", "numbers from 1"),
        ("query:run 99999999/m per subject", "numbers from 1"),
        ("query:run 6/32d per subject", "a period of at most 31d"),
        ("query:run 6/m", "per subject, key, tenant, account or address"),
        ("query:run 6/m per planet", "per subject, key, tenant, account or address"),
        ("query:run 6/m per account", "per account for login only"),
        ("* 6/m per account", "per account for login only"),
        ("login 6/m per subject", "a login's limit per account or address"),
        ("socket 6/m per subject", "a socket's limit per address"),
        ("query:run 6 open per address", "open streams per subject, key or tenant"),
        ("documents:* 6 open per subject", "open streams of an action that streams"),
        ("query:run 6/m per subject, 7/60s per subject", "one such limit"),
    ],
)
def test_what_cannot_be_counted_is_a_fault(text: str, expected: str) -> None:
    with pytest.raises(LimitFaults) as caught:
        parse_limits(text)

    (fault,) = caught.value.faults
    assert fault.expected.startswith(expected)


def test_there_may_not_be_more_limits_than_a_head_can_name() -> None:
    text = ";".join(f"query:run 1/{n}s per subject" for n in range(1, LIMITS_MOST + 2))
    with pytest.raises(LimitFaults, match=f"at most {LIMITS_MOST}"):
        parse_limits(text)


def test_what_actions_cover() -> None:
    """``*`` holds all that is counted, ``*:*`` what the policy decides about, a group its own."""
    assert covers("*", "login")
    assert covers("*", "query:run")
    assert covers("*:*", "query:run")
    assert covers("*", "socket")
    assert not covers("*:*", "login")
    assert not covers("*:*", "socket")
    assert covers("documents:*", "documents:list")
    assert not covers("documents:*", "query:run")
    assert covers("query:run", "query:run")
    assert not covers("query:run", "query:runs")


def test_an_obligation_is_per_subject_unless_it_says_another() -> None:
    first, second, third = parse_obligation("query:run", "10/m, 2 open ,50/h burst 5 per tenant")

    assert [one.name for one in (first, second, third)] == [
        *("query:run/subject/m", "query:run/subject/open", "query:run/tenant/h")
    ]


@pytest.mark.parametrize(
    "text", ["", "10", "10/min", "ten", "10/m,", "10/m per address", "10/m, 11/m", "0/m"]
)
def test_a_malformed_obligation_is_told(text: str) -> None:
    with pytest.raises(LimitFaults):
        parse_obligation("query:run", text)
