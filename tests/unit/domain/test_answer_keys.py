"""Which questions share an answer, and what a client's ``Cache-Control`` says."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.answer_keys import Asker, Use, answer_key, asked_in, use_of

# Few letters, some of which end texts in JSON and elsewhere: what differs is then nearly the same.
names = st.text('ab",[]\\é ', max_size=4)
bodies = st.fixed_dictionaries(
    {"query": st.text('ab"é e\u0301\n', min_size=1, max_size=4)},
    optional={
        "top_k": st.integers(1, 3),
        "document_ids": st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3),
        "model": names,
    },
)
roles = st.frozensets(st.sampled_from(["reader", "editor", "admin"]), max_size=2)
askers = st.builds(Asker, names, names, roles, st.none() | names)
asks = st.tuples(askers, names, names, bodies)
Ask = tuple[Asker, str, str, dict[str, Any]]


def key(ask: Ask) -> bytes:
    asker, policy, corpus, body = ask
    asked = asked_in(body)
    assert asked is not None
    return answer_key(asker, policy_revision=policy, corpus_revision=corpus, asked=asked)


def meaning(ask: Ask) -> tuple[object, ...]:
    """What the rule says a question is, in another way than the code under test says it."""
    asker, policy, corpus, body = ask
    ids = body.get("document_ids")
    return (
        *(asker.tenant, asker.subject, asker.roles, asker.actor, policy, corpus),
        unicodedata.normalize("NFC", body["query"]).strip(),
        body.get("top_k"),
        None if ids is None else frozenset(ids),
        body.get("model"),
    )


@given(asks, asks)
@settings(max_examples=500)
def test_two_keys_are_the_same_only_where_everything_is(one: Ask, other: Ask) -> None:
    """Tenants, subjects, policies, documents and questions never meet in a cache."""
    assert (key(one) == key(other)) == (meaning(one) == meaning(other))


@given(asks, st.sampled_from(range(4)), names)
@settings(max_examples=300)
def test_a_change_of_one_part_is_another_key(ask: Ask, part: int, text: str) -> None:
    """Also where all else is the same: of such pairs chance makes few."""
    asker, policy, corpus, body = ask
    changed: Ask = (
        (Asker(text, asker.subject, asker.roles, asker.actor), policy, corpus, body),
        (Asker(asker.tenant, text, asker.roles, asker.actor), policy, corpus, body),
        (asker, text, corpus, body),
        (asker, policy, text, body),
    )[part]
    assert (key(changed) == key(ask)) == (meaning(changed) == meaning(ask))


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"query": "é"}, {"query": "e\u0301"}),
        ({"query": "tea"}, {"query": " \n tea\u00a0"}),
        ({"query": "a", "document_ids": ["x", "y"]}, {"query": "a", "document_ids": ["y", "x"]}),
        ({"query": "a", "document_ids": ["x"]}, {"query": "a", "document_ids": ["x", "x"]}),
        ({"query": "a", "top_k": 3}, {"top_k": 3, "query": "a"}),
    ],
    ids=["NFC", "white space", "order", "twice", "order of fields"],
)
def test_one_question_in_two_spellings(one: dict[str, Any], same: dict[str, Any]) -> None:
    """NFC, no white space around it, documents as a set."""
    assert asked_in(one) == asked_in(same)


@pytest.mark.parametrize(
    "other",
    [
        {"query": "Tea"},
        {"query": "te a"},
        {"query": "tea", "top_k": 6},
        {"query": "tea", "document_ids": []},
        {"query": "tea", "new_field": None},
    ],
    ids=["case", "white space inside", "a default", "no documents", "a field not known here"],
)
def test_what_may_be_another_question(other: dict[str, Any]) -> None:
    """Nothing is taken for nearly the same: the core may see a difference."""
    assert asked_in(other) != asked_in({"query": "tea"})


@pytest.mark.parametrize("field", ["conversation_id", "messages"])
def test_an_answer_in_a_conversation_is_nobody_elses(field: str) -> None:
    """It depends on what was said before."""
    assert asked_in({"query": "why?", field: []}) is None


@pytest.mark.parametrize(
    ("header", "use"),
    [
        ("", Use.KEPT),
        ("no-cache", Use.FRESH),
        ("No-Cache", Use.FRESH),
        ("max-age=0, no-cache", Use.FRESH),
        ('private="a, b" ,no-cache', Use.FRESH),
        ("no-cache,no-store", Use.NONE),
        ("no-store", Use.NONE),
        ("max-stale=5", Use.KEPT),
        ('x="no-store, no-cache"', Use.KEPT),
        ("no-cacheable", Use.KEPT),
        (",,no-cache", Use.FRESH),
    ],
)
def test_what_a_client_says_of_kept_answers(header: str, use: Use) -> None:
    """RFC 9111, 5.2.1: ``no-cache`` has the core asked, ``no-store`` has nothing kept."""
    assert use_of(header) is use
