"""What ends a credential before its time, and what follows from it.

A revocation is one of four values. Each has a text of one short line, which is the name of its
object in the bucket, its message to other replicas, and its entry in the memory that the workers of
a replica share; so whoever hears of one, in whatever way, hears the same.

``Ledger`` keeps what a process knows of them and says which credentials they end. Adding one twice,
or in another order, changes nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from gateway.domain.api_keys import is_key_id
from gateway.domain.company import is_company_name, unlisted
from gateway.domain.identity import User, is_name
from gateway.domain.tokens import Claims

# How many ended tokens are remembered, of one account and in all, until each would have expired. A
# process takes some 300 bytes for each.
TOKENS_PER_SUBJECT_LIMIT: Final = 2_000
TOKENS_LIMIT: Final = 50_000
# How long a replica believes another one that an account is no longer what its own file says. In
# Kubernetes a changed Secret arrives within two minutes or so.
ACCOUNT_CHANGE_S: Final = 600
TEXT_LIMIT_CHARS: Final = 200

_MARK = re.compile(r"[0-9a-f]{32}\Z")
# Up to the end of the year 9999 in milliseconds, as tokens can name.
_NUMBER = re.compile(r"[0-9]{1,15}\Z")
_NUMBERS_END: Final = 253_402_300_800_000


@dataclass(frozen=True, slots=True)
class EndedToken:
    """One token, by ``token_mark`` of its id; ``generation`` is the token's own."""

    mark: str
    subject: str
    generation: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class EndedTokens:
    """All tokens of an account of an earlier ``generation`` (Unix milliseconds).

    ``expires_at`` is when the last of them would have expired.
    """

    subject: str
    generation: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class ChangedKey:
    """An API key's record was changed: what was looked up before is worth nothing."""

    key_id: str


@dataclass(frozen=True, slots=True)
class ChangedAccount:
    """An account is no longer what it was, by the users file of one replica.

    Attributes:
        state: ``account_state`` of what it is now.
        changed_at: the latest time that the account names, in Unix seconds; see ``shows``.
        closed: whether nobody may come in by it; else its tokens and its password alone are void.
        expires_at: when other replicas go by their own files again.
    """

    subject: str
    state: str
    changed_at: int
    closed: bool
    expires_at: int


Revocation = EndedToken | EndedTokens | ChangedKey | ChangedAccount


def token_mark(token_id: str) -> str:
    """Stands for a token's id, which may be too long for a name and may differ in case alone."""
    return hashlib.blake2b(token_id.encode("utf-8"), digest_size=16).hexdigest()


# --- texts ----------------------------------------------------------------------------------------


def text_of(revocation: Revocation) -> str:
    """Lower-case letters, digits, ``_``, ``-`` and the dots between: good in any store's names."""
    return ".".join(map(str, _parts(revocation)))


def _parts(revocation: Revocation) -> tuple[str | int, ...]:
    match revocation:
        case EndedToken(mark, subject, generation, expires_at):
            return "token", expires_at, subject, generation, mark
        case EndedTokens(subject, generation, expires_at):
            return "tokens", expires_at, subject, generation
        case ChangedKey(key_id):
            return "key", key_id
        case ChangedAccount(subject, state, changed_at, closed, expires_at):
            return "account", expires_at, subject, changed_at, int(closed), state


def revocation_of(text: str) -> Revocation | None:
    """``None`` for what is no revocation this version knows."""
    match text.split("."):
        case ["token", expires_at, subject, generation, mark] if (
            _are(expires_at, generation) and is_name(subject) and _MARK.match(mark)
        ):
            return EndedToken(mark, subject, int(generation), int(expires_at))
        case ["tokens", expires_at, subject, generation] if _are(
            expires_at, generation
        ) and is_name(subject):
            return EndedTokens(subject, int(generation), int(expires_at))
        case ["key", key_id] if is_key_id(key_id):
            return ChangedKey(key_id)
        case ["account", expires_at, subject, changed_at, "0" | "1" as closed, state] if (
            _are(expires_at, changed_at) and is_name(subject) and _MARK.match(state)
        ):
            return ChangedAccount(subject, state, int(changed_at), closed == "1", int(expires_at))
    return None


def expires_at(revocation: Revocation) -> float:
    """When it may be forgotten, in Unix seconds."""
    return float("-inf") if isinstance(revocation, ChangedKey) else revocation.expires_at


def _are(*numbers: str) -> bool:
    return all(_NUMBER.match(number) and int(number) < _NUMBERS_END for number in numbers)


# --- accounts -------------------------------------------------------------------------------------


def account_state(user: User | None) -> str:
    """A digest of what ends an account's credentials when it changes; roles are not in it."""
    if user is None:
        return "0" * 32
    state = (
        *(user.tenant, user.disabled, user.password_hash),
        *(user.password_changed_at, user.tokens_valid_after),
    )
    return hashlib.blake2b(repr(state).encode("utf-8"), digest_size=16).hexdigest()


def changed_accounts(
    before: Mapping[str, User], now: Mapping[str, User]
) -> Iterator[tuple[User, User | None]]:
    """Each account that is no longer the same, with what it is now; a new one is no news.

    But for people of the company, who come in without one: what is said of one for the first time
    changes him, and when nothing is said any more he is as he was before.
    """
    new = [subject for subject in now if subject not in before and is_company_name(subject)]
    for subject in (*before, *new):
        known, present = before.get(subject), now.get(subject)
        if is_company_name(subject):
            known, present = known or unlisted(subject), present or unlisted(subject)
        if known is not None and known is not present:
            yield known, present


def account_change(before: User, now: User | None, at: float) -> ChangedAccount | None:
    """What other replicas must be told when an account ``before`` has become ``now``."""
    if account_state(before) == account_state(now):
        return None
    if now is not None and before.disabled and not now.disabled:
        return None  # Its tokens were ended when it was disabled.
    closed = now is None or now.disabled or now.tenant != before.tenant
    return ChangedAccount(
        subject=before.subject,
        state=account_state(now),
        changed_at=_changed_at(before if now is None else now),
        closed=closed,
        expires_at=int(at) + ACCOUNT_CHANGE_S,
    )


def account_as_found(user: User, at: float) -> ChangedAccount:
    """What other replicas must be told of an account that may have been changed before."""
    return ChangedAccount(
        subject=user.subject,
        state=account_state(user),
        changed_at=_changed_at(user),
        closed=user.disabled,
        expires_at=int(at) + ACCOUNT_CHANGE_S,
    )


def shows(user: User, change: ChangedAccount) -> bool:
    """Whether ``user`` is what the change made of it, or what a later edit made."""
    return account_state(user) == change.state or _changed_at(user) > change.changed_at


def _changed_at(user: User) -> int:
    return max(user.password_changed_at, user.tokens_valid_after)


# --- what follows ---------------------------------------------------------------------------------


class Ledger:
    """What is known to be ended. ``tokens``, ``generations`` and ``accounts`` are for reading."""

    def __init__(self) -> None:
        # By mark, by subject, by subject.
        self.tokens: dict[str, EndedToken] = {}
        self.generations: dict[str, EndedTokens] = {}
        self.accounts: dict[str, ChangedAccount] = {}
        self._tokens_of: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.tokens) + len(self.generations) + len(self.accounts)

    def add(self, revocation: Revocation) -> bool:
        """Whether it says anything new; a changed key always does, and is not kept."""
        match revocation:
            case EndedToken():
                return self._add_token(revocation)
            case EndedTokens():
                return self._add_generation(revocation)
            case ChangedAccount():
                return self._add_account(revocation)
        return True

    def _add_token(self, token: EndedToken) -> bool:
        if token.mark in self.tokens or token.generation < self.generation(token.subject):
            return False
        self.tokens[token.mark] = token
        self._tokens_of[token.subject] += 1
        return True

    def _add_generation(self, ended: EndedTokens) -> bool:
        if ended.generation <= self.generation(ended.subject):
            return False
        self.generations[ended.subject] = ended
        for token in [*self._older_tokens(ended)]:
            self._drop_token(token)
        return True

    def _older_tokens(self, ended: EndedTokens) -> Iterator[EndedToken]:
        if self._tokens_of[ended.subject]:
            for token in self.tokens.values():
                if token.subject == ended.subject and token.generation < ended.generation:
                    yield token

    def _add_account(self, change: ChangedAccount) -> bool:
        known = self.accounts.get(change.subject)
        if known is not None:
            same = (known.state, known.closed) == (change.state, change.closed)
            # Each replica that sees the change tells it, a little later than the first.
            told_again = same and change.expires_at < known.expires_at + ACCOUNT_CHANGE_S // 2
            if told_again or known.changed_at > change.changed_at:
                return False
        self.accounts[change.subject] = change
        return True

    def _drop_token(self, token: EndedToken) -> None:
        del self.tokens[token.mark]
        self._tokens_of[token.subject] -= 1
        if not self._tokens_of[token.subject]:
            del self._tokens_of[token.subject]

    def forget_expired(self, now: float) -> None:
        """Drops what ends nothing any more: what it ended has expired."""
        for token in [one for one in self.tokens.values() if one.expires_at <= now]:
            self._drop_token(token)
        for kept in (self.generations, self.accounts):
            for subject in [name for name, one in kept.items() if one.expires_at <= now]:
                del kept[subject]

    # --- questions: each costs the same, however much is known ----------------------------------

    def generation(self, subject: str) -> int:
        """What a token must name that is issued now; 0 where all tokens are good."""
        ended = self.generations.get(subject)
        return 0 if ended is None else ended.generation

    def room_for(self, subject: str) -> Literal["yes", "account_full", "full"]:
        """Whether one more ended token of ``subject`` would be remembered."""
        if self._tokens_of[subject] >= TOKENS_PER_SUBJECT_LIMIT:
            return "account_full"
        return "full" if len(self.tokens) >= TOKENS_LIMIT else "yes"

    def ends_token(self, mark: str, claims: Claims) -> bool:
        if mark in self.tokens:
            return True
        ended = self.generations.get(claims.subject)
        if ended is None or claims.issued_at >= ended.expires_at:
            # What is issued that late is none of them: some processes have forgotten it already.
            return False
        return generation_of(claims) < ended.generation

    def outdates(self, user: User, now: float) -> ChangedAccount | None:
        """The change that ``user``, as this process knows it, does not show yet."""
        change = self.accounts.get(user.subject)
        if change is None or change.expires_at <= now or shows(user, change):
            return None
        return change


def generation_of(claims: Claims) -> int:
    """Of a token made elsewhere, which names none, the second in which it was issued."""
    if claims.password_tag is None and not claims.generation:
        return claims.issued_at * 1000
    return claims.generation
