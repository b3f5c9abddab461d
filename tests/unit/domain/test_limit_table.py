"""Which limits a request meets, and what the policy's obligations do to them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.limit_rules import parse_limits
from gateway.domain.limit_table import LimitTable, MalformedObligation

TEXT = (
    "query:run 60/m per subject, 8 open per subject; documents:* 30/m per subject;"
    " *:* 1200/m per tenant; * 300/m per address; login 5/m per account, 30/m per address"
)
TABLE = LimitTable(parse_limits(TEXT))


def under(action: str, said: object, table: LimitTable = TABLE) -> tuple[list[str], list[str]]:
    complaints: list[str] = []
    limits = table.under(action, {"limits": said}, complaints.append)
    return sorted(str(limit) for limit in limits), complaints


def names(limits: Any) -> list[str]:
    return [limit.name for limit in limits]


def test_each_limit_counts_at_its_own_moment() -> None:
    assert names(TABLE.of_address("login")) == ["*/address/m", "login/address/m"]
    assert names(TABLE.of_address("query:run")) == ["*/address/m"]
    assert names(TABLE.accounts) == ["login/account/m"]
    assert names(TABLE.of_caller("login")) == []
    assert names(TABLE.of_caller("documents:list")) == ["documents:*/subject/m", "*:*/tenant/m"]


def test_an_obligation_takes_the_place_of_the_rate_with_its_actions() -> None:
    """Tighter or looser; the open streams and all other limits stay."""
    assert under("query:run", {"query:run": "10/m burst 2"}) == (
        [
            "*:* 1200/m per tenant",
            "query:run 10/m burst 2 per subject",
            "query:run 8 open per subject",
        ],
        [],
    )
    assert under("query:run", {"query:run": "100 open, 90000/d"})[0] == [
        *("*:* 1200/m per tenant", "query:run 100 open per subject"),
        "query:run 90000/d per subject",
    ]


def test_an_obligation_for_other_actions_changes_nothing_here() -> None:
    assert under("query:run", {"documents:*": "1/m"})[0] == sorted(
        str(one) for one in TABLE.of_caller("query:run")
    )


def test_an_obligation_that_nothing_configured_stands_for_is_added() -> None:
    limits, _ = under("auth:me", {"auth:me": "3/m", "*:*": "9000/m per tenant"})

    assert limits == ["*:* 9000/m per tenant", "auth:me 3/m per subject"]


MALFORMED: dict[str, Any] = {
    "no object": "10/m",
    "a list": ["10/m"],
    "null in it": {"query:run": None},
    "a number": {"query:run": 10},
    "no limit": {"query:run": "ten a minute"},
    "unknown actions": {"query:runn": "10/m"},
    "per address": {"query:run": "10/m per address"},
    "one good, one bad": {"documents:*": "5/m", "query:run": "x"},
}


@pytest.mark.parametrize("said", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_obligation_leaves_what_is_configured_and_is_told(said: object) -> None:
    limits, complaints = under("query:run", said)

    assert limits == sorted(str(one) for one in TABLE.of_caller("query:run"))
    assert len(complaints) == 1


@pytest.mark.parametrize("said", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_obligation_opens_no_door(said: object) -> None:
    """Where no limit per subject is in its place the request is refused."""
    table = LimitTable(parse_limits("*:* 1200/m per tenant"))

    with pytest.raises(MalformedObligation):
        under("query:run", said, table)


def test_no_obligation_means_the_configured_limits() -> None:
    assert TABLE.under("query:run", {"ttl_s": 1}, pytest.fail) == TABLE.of_caller("query:run")
