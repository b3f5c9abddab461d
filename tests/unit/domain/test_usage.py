"""What an answer costs, and what it is counted under."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.identity import Principal
from gateway.domain.usage import Spent, accounts_of, asked_characters, read_usage


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"prompt_tokens": 1}',
        b'{"prompt_tokens": -1, "completion_tokens": 1}',
        b'{"prompt_tokens": 1.5, "completion_tokens": 1}',
        b'{"prompt_tokens": "1", "completion_tokens": 1}',
        b'{"prompt_tokens": 100000001, "completion_tokens": 1}',
        b'{"prompt_tokens": 1e99, "completion_tokens": 1}',
        b'{"prompt_tokens": 1, "completion_tokens": 1} \xff',
        b"[" * 100_000,
    ],
)
def test_a_usage_that_says_nothing_is_none(data: bytes) -> None:
    assert read_usage(data) is None


def test_a_usage_may_say_more_than_is_read() -> None:
    data = b'{"prompt_tokens": 3, "completion_tokens": 0, "details": {"cached": 1}}'
    assert read_usage(data) == Spent(prompt=3)


def test_a_question_is_as_long_as_all_that_is_sent() -> None:
    messages = [{"role": "user", "content": "abc"}, {"role": "assistant", "content": "de"}]
    assert asked_characters({"query": "four", "messages": messages}) == 9
    assert asked_characters({}) == 0


_NAMES = st.text(string.ascii_lowercase + "0123456789_-", min_size=1, max_size=4).filter(
    lambda text: text[0] not in "_-"
)


def someone(tenant: str, subject: str) -> Principal:
    return Principal(subject, tenant, frozenset(), "jwt", "a token")


@given(st.tuples(_NAMES, _NAMES), st.tuples(_NAMES, _NAMES))
def test_accounts_of_two_users_never_meet(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Unless it is the account of the tenant that they share."""
    keys = [{account.key for account in accounts_of(someone(*who), 0.0)} for who in (one, other)]
    shared = {key.partition("/")[0] for key in keys[0] & keys[1]}
    expected = (
        {"subject", "tenant"} if one == other else {"tenant"} if one[0] == other[0] else set()
    )
    assert shared == expected


def test_a_key_has_accounts_of_its_own() -> None:
    who = Principal("ada", "acme", frozenset(), "api_key", "0190")
    assert [account.key for account in accounts_of(who, 0.0)] == [
        "subject/acme/ada/1970-01-01",
        "subject/acme/ada/1970-01",
        "key/0190/1970-01-01",
        "key/0190/1970-01",
        "tenant/acme/1970-01-01",
        "tenant/acme/1970-01",
    ]
