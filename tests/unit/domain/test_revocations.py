"""What is ended: one line each, the same whoever hears it, how often and in which order."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from gateway.domain import revocations
from gateway.domain.api_keys import new_key_id
from gateway.domain.identity import User
from gateway.domain.revocations import (
    ACCOUNT_CHANGE_S,
    TEXT_LIMIT_CHARS,
    ChangedAccount,
    ChangedKey,
    EndedToken,
    EndedTokens,
    Ledger,
    Revocation,
    account_change,
    account_state,
    generation_of,
    revocation_of,
    shows,
    text_of,
    token_mark,
)
from gateway.domain.tokens import Claims

NOW = 1_800_000_000
ADA = User("ada", "acme", frozenset({"reader"}), "hash", password_changed_at=NOW - 500)
LONGEST = "a" * 64


def claims(generation: int = 0, subject: str = "ada", tag: str | None = "tag") -> Claims:
    return Claims(
        subject=subject,
        tenant="acme",
        roles=frozenset(),
        issued_at=NOW,
        expires_at=NOW + 3600,
        token_id="jti",
        password_tag=tag,
        generation=generation,
    )


@pytest.mark.parametrize(
    "revocation",
    [
        EndedToken(token_mark("x" * 128), LONGEST, 253_402_300_799_999, 253_402_300_799),
        EndedTokens(LONGEST, 253_402_300_799_999, 253_402_300_799),
        ChangedKey(new_key_id()),
        ChangedAccount(LONGEST, account_state(ADA), 253_402_300_799, True, 253_402_300_799),
        ChangedAccount("a-b_c", account_state(None), 0, False, NOW),
    ],
)
def test_a_revocation_is_one_short_line_that_any_store_can_have_for_a_name(
    revocation: Revocation,
) -> None:
    """The longest too; and it means the same when it is read."""
    text = text_of(revocation)
    assert revocation_of(text) == revocation
    assert len(text) <= TEXT_LIMIT_CHARS
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "token", "key.", "key.ABC", "token.1.ada.0", "tokens.x.ada.1", "tokens.1..1"),
        *("tokens.1.Ada.1", "tokens.-1.ada.1", "tokens.1.ada.1.2", "tokens.1.ada.٣", "later.1.ada"),
        f"account.1.ada.1.2.{'0' * 32}",
        f"token.1.ada.0.{'G' * 32}",
        f"tokens.1.ada.{'9' * 16}",
        "tokens.1.ada.253402300800000",
        "tokens.1.ada.1\n",
    ],
)
def test_what_is_no_revocation_is_told_from_one(text: str) -> None:
    """Whoever can write into a bucket or a channel makes no process fail by it."""
    assert revocation_of(text) is None


def test_an_ended_token_is_ended_and_no_other() -> None:
    """Ids that differ in case alone are two, also where a store's file system folds case."""
    ledger = Ledger()
    assert ledger.add(EndedToken(token_mark("aB"), "ada", 0, NOW + 60))
    assert ledger.ends_token(token_mark("aB"), claims())
    assert not ledger.ends_token(token_mark("ab"), claims())


def test_all_tokens_end_but_those_issued_since() -> None:
    """Told apart by their generation: clocks have no say in it."""
    ledger = Ledger()
    ledger.add(EndedTokens("ada", 5000, NOW + 60))
    assert ledger.ends_token("", claims(0))
    assert ledger.ends_token("", claims(4999))
    assert not ledger.ends_token("", claims(ledger.generation("ada")))
    assert not ledger.ends_token("", claims(0, subject="bob"))


def test_a_token_made_elsewhere_ends_by_when_it_was_issued() -> None:
    """Whoever made it knows nothing of generations, and the next one it makes must be good."""
    ledger = Ledger()
    ledger.add(EndedTokens("ada", NOW * 1000 + 1, NOW + 60))
    assert ledger.ends_token("", claims(tag=None))
    assert not ledger.ends_token("", replace(claims(tag=None), issued_at=NOW + 1))


def test_a_token_made_elsewhere_and_ended_alone_stays_ended_whatever_else_ends() -> None:
    """Also one that was issued after all others were ended, or by a clock that is ahead."""
    late = replace(claims(tag=None), issued_at=NOW + 10)
    alone = EndedToken(token_mark("jti"), "ada", generation_of(late), late.expires_at)
    everything = EndedTokens("ada", NOW * 1000, NOW + 3600)
    for order in itertools.permutations((alone, everything)):
        ledger = Ledger()
        for revocation in order:
            assert ledger.add(revocation)
        assert ledger.ends_token(token_mark("jti"), late)


def test_a_token_issued_when_others_have_forgotten_that_all_were_ended_is_good() -> None:
    """Processes forget at moments of their own; what the call ended has expired by then."""
    ledger = Ledger()
    ledger.add(EndedTokens("ada", NOW * 1000, NOW + 60))
    assert ledger.ends_token("", replace(claims(0), issued_at=NOW + 59))
    assert not ledger.ends_token("", replace(claims(0), issued_at=NOW + 60))


def test_the_order_of_hearing_makes_no_difference() -> None:
    """And what is heard twice says nothing new."""
    heard: list[Revocation] = [
        EndedToken("1" * 32, "ada", 0, NOW + 60),
        EndedToken("2" * 32, "ada", 70, NOW + 60),
        EndedToken("3" * 32, "bob", 0, NOW + 60),
        EndedTokens("ada", 50, NOW + 60),
        EndedTokens("ada", 60, NOW + 90),
    ]
    found = set()
    for order in itertools.permutations(heard):
        ledger = Ledger()
        for one in order:
            ledger.add(one)
            assert not ledger.add(one)
        found.add((frozenset(ledger.tokens), ledger.generation("ada"), ledger.room_for("ada")))
    assert found == {(frozenset({"2" * 32, "3" * 32}), 60, "yes")}


def test_what_has_expired_is_forgotten_and_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that memory is bounded by how many tokens there are that could still be used."""
    monkeypatch.setattr(revocations, "TOKENS_PER_SUBJECT_LIMIT", 2)
    monkeypatch.setattr(revocations, "TOKENS_LIMIT", 3)
    ledger = Ledger()
    for number in range(2):
        ledger.add(EndedToken(f"{number:032}", "ada", 0, NOW + number))
    assert (ledger.room_for("ada"), ledger.room_for("bob")) == ("account_full", "yes")
    ledger.add(EndedToken("b" * 32, "bob", 0, NOW + 60))
    assert ledger.room_for("bob") == "full"
    ledger.forget_expired(NOW)
    assert (ledger.room_for("ada"), ledger.room_for("bob"), len(ledger)) == ("yes", "yes", 2)


def test_ending_all_tokens_makes_room_for_those_ended_one_by_one() -> None:
    """They need not be remembered besides."""
    ledger = Ledger()
    ledger.add(EndedToken("1" * 32, "ada", 0, NOW + 60))
    ledger.add(EndedTokens("ada", 1, NOW + 60))
    assert len(ledger) == 1
    assert ledger.ends_token("1" * 32, claims(0))


def test_an_account_that_another_file_has_closed_is_closed_until_this_file_says_so() -> None:
    """Disabled, removed or moved; and what a later edit made of it stands."""
    disabled = replace(ADA, disabled=True, tokens_valid_after=NOW)
    for now in (disabled, None, replace(ADA, tenant="other")):
        ledger, change = Ledger(), account_change(ADA, now, NOW)
        assert change is not None
        assert change.closed
        ledger.add(change)
        assert ledger.outdates(ADA, NOW) == change
        assert ledger.outdates(ADA, NOW + ACCOUNT_CHANGE_S) is None
        if now is not None:
            assert ledger.outdates(now, NOW) is None
    enabled = replace(disabled, disabled=False, tokens_valid_after=NOW + 5)
    change = account_change(ADA, disabled, NOW)
    assert change is not None
    assert shows(enabled, change)


def test_another_password_ends_tokens_and_leaves_keys() -> None:
    """Which is what it does where the file is read."""
    change = account_change(ADA, replace(ADA, password_hash="new", password_changed_at=NOW), NOW)
    assert change is not None
    assert not change.closed


def test_what_ends_no_credential_is_not_told() -> None:
    """Another role, and enabling: its tokens were ended when it was disabled."""
    disabled = replace(ADA, disabled=True)
    assert account_change(ADA, replace(ADA, roles=frozenset()), NOW) is None
    assert account_change(disabled, replace(ADA, tokens_valid_after=NOW), NOW) is None


def test_an_older_change_of_an_account_replaces_no_newer_one() -> None:
    """A replica whose file is behind sees the first of two edits when others have the second."""
    first = account_change(ADA, replace(ADA, disabled=True, tokens_valid_after=NOW), NOW)
    second = account_change(ADA, None, NOW)
    later = replace(ADA, password_hash="new", password_changed_at=NOW + 9)
    third = account_change(ADA, later, NOW)
    assert first
    assert second
    assert third
    ledger = Ledger()
    assert ledger.add(third)
    assert not ledger.add(first)
    assert not ledger.add(second)
    assert not ledger.add(replace(third, expires_at=third.expires_at + 5))
    # The same once more, much later: somebody disabled, enabled and disabled by hand.
    assert ledger.add(replace(third, expires_at=third.expires_at + ACCOUNT_CHANGE_S))
