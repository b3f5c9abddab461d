"""What an answer cost: the core's own ``usage``, or an estimate where none came.

An estimate is there so that leaving early is not free. It is what the relay counts anyway: each
event that passed is taken for one token, and what was asked for one token in four characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from gateway.domain.identity import Principal
from gateway.domain.limits import Budget
from gateway.domain.quotas import DAY_S, PERIODS, SPENDERS, Quota, period_at
from gateway.domain.stream_state import StreamState

# A core that names more for one answer has not counted tokens.
MOST_IN_AN_ANSWER: Final = 100_000_000
CHARACTERS_A_TOKEN: Final = 4

_Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_IN_AN_ANSWER)]


class _Usage(msgspec.Struct):
    prompt_tokens: _Count
    completion_tokens: _Count


_DECODER = msgspec.json.Decoder(_Usage)


class Spent(NamedTuple):
    """Tokens by their kind. Those of an estimate are in no other kind."""

    prompt: int = 0
    completion: int = 0
    estimated: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion + self.estimated

    def __add__(self, other: Spent) -> Spent:  # type: ignore[override]
        """By kind; as tuples they would be joined."""
        return Spent(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.estimated + other.estimated,
        )


NOTHING: Final = Spent()


@dataclass(frozen=True, slots=True)
class Account:
    """What tokens are counted under: somebody's day or month.

    ``key`` is a short text, such as ``"subject/acme/ada/2026-11-28"``.
    """

    key: str
    ends_at: int

    def __hash__(self) -> int:
        """A key has one end; and an answer asks for this a dozen times."""
        return hash(self.key)


class AskedQuota(NamedTuple):
    """A quota of somebody; ``unsent`` tokens of it are spent that no store was told of yet."""

    quota: Quota
    account: Account
    unsent: int

    @property
    def budget(self) -> Budget:
        return Budget(self.account.key, self.quota.tokens - self.unsent)


class QuotaState(NamedTuple):
    """A quota, and what of it is spent."""

    quota: Quota
    account: Account
    used: int

    @property
    def left(self) -> int:
        return max(self.quota.tokens - self.used, 0)


class KeyUse(NamedTuple):
    """Of a key; ``owner`` is ``tenant/subject``."""

    owner: str
    key_id: str


def spender_of(per: str, who: Principal) -> str | None:
    """Whom a quota counts for; who comes with a token has no key."""
    if per == "subject":
        return f"{who.tenant}/{who.subject}"
    if per == "tenant":
        return who.tenant
    return who.credential_id if who.auth == "api_key" else None


def account_of(per: str, spender: str, period: str, now: float) -> Account:
    return _account(per, spender, period, int(now // DAY_S) * DAY_S)


# The next answer of the same caller asks for the same ones.
@lru_cache(maxsize=8192)
def _account(per: str, spender: str, period: str, midnight: int) -> Account:
    at = period_at(period, midnight)
    return Account(f"{per}/{spender}/{at.label}", at.ends_at)


def accounts_of(who: Principal, now: float) -> tuple[Account, ...]:
    """All that an answer is charged to."""
    spenders = tuple((per, spender_of(per, who)) for per in SPENDERS)
    return _accounts(spenders, int(now // DAY_S) * DAY_S)


@lru_cache(maxsize=8192)
def _accounts(spenders: tuple[tuple[str, str | None], ...], midnight: int) -> tuple[Account, ...]:
    return tuple(
        _account(per, spender, period, midnight)
        for per, spender in spenders
        if spender is not None
        for period in PERIODS
    )


def cost_of(state: StreamState, asked_characters: int) -> Spent:
    """What the answer whose state this is cost. Where several ``usage`` came, the last one counts.

    A call that the core itself failed before any event came costs nothing.
    """
    if state.usage_data is not None and (told := read_usage(state.usage_data)) is not None:
        return told
    by_core = state.end is not None and state.end.by == "core"
    if not state.events and by_core:
        return NOTHING
    asked = -(-asked_characters // CHARACTERS_A_TOKEN)
    return Spent(estimated=state.events + asked)


def read_usage(data: bytes) -> Spent | None:
    """``None`` where the data of a ``usage`` event are not what the contract says."""
    try:
        told = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return Spent(told.prompt_tokens, told.completion_tokens)


def asked_characters(body: Mapping[str, Any]) -> int:
    """How long the question is, with what was said before it."""
    characters = len(body.get("query", ""))
    for said in body.get("messages", ()):
        if isinstance(said, Mapping):
            characters += len(said.get("content", ""))
    return characters
