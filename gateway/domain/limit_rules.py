"""Which limits there are: how they are written, what each is called, and what it counts.

A text of limits is a list of statements, parted by ``;`` or line breaks. A statement names actions
and then limits of them, parted by commas::

    query:run 60/m burst 10 per subject, 8 open per subject; *:* 1200/m per tenant
    query:run 100000 tokens/day per subject

All actions that one statement names are counted together. The policy's obligations are written in
the same way, action by action.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from gateway.domain.actions import ACTIONS, LOGIN, MCP, SOCKET, STREAMED
from gateway.domain.limits import Rate
from gateway.domain.quotas import MOST_TOKENS, SPENDERS, Quota

# Whom a limit counts for, and which of them are known before anybody is identified.
PER: Final = ("subject", "key", "tenant", "account", "address")
EVERYTHING: Final = "*"
EVERY_ACTION: Final = "*:*"
# Those that limits can name: what an admin does for somebody else counts as his own doing.
COUNTED: Final = frozenset(
    {LOGIN, SOCKET, MCP} | {action for action in ACTIONS if not action.endswith(":any-owner")}
)

UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_S: Final = 31 * 86_400
MOST: Final = 1_000_000
LIMITS_MOST: Final = 32

_RATE = re.compile(r"(\d+)/(\d*)([smhd])(?: burst (\d+))?(?: per ([a-z]+))?\Z", re.ASCII)
_OPEN = re.compile(r"(\d+) open(?: per ([a-z]+))?\Z", re.ASCII)
_TOKENS = re.compile(r"(\d+) tokens/(day|month)(?: per ([a-z]+))?\Z", re.ASCII)

A_LIMIT: Final = (
    "a limit such as 60/m burst 10 per subject, 8 open per subject or 100000 tokens/day per subject"
)
AN_ACTION: Final = (
    "an action such as query:run, a group such as documents:*, *:*, login, socket, mcp or *"
)


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: a rate, or how many streams may be open (``most``).

    Attributes:
        actions: as they were written: one action, ``documents:*``, ``*:*`` or ``*``.
        per: whom it counts for, one of ``PER``.
        name: stays the same while only its numbers change: for headers, details, logs and keys.
        allowed: what it allows, as somebody would write it.
    """

    actions: str
    per: str
    rate: Rate | None = None
    most: int = 0
    name: str = field(init=False)
    allowed: str = field(init=False)

    def __post_init__(self) -> None:
        period = "open" if self.rate is None else _period(int(self.rate.period_s))
        object.__setattr__(self, "name", f"{self.actions}/{self.per}/{period}")
        object.__setattr__(self, "allowed", self._allowed(period))

    def _allowed(self, period: str) -> str:
        if self.rate is None:
            return f"{self.most} open"
        burst = "" if self.rate.burst == self.rate.count else f" burst {self.rate.burst}"
        return f"{self.rate.count}/{period}{burst}"

    def covers(self, action: str) -> bool:
        return covers(self.actions, action)

    def __str__(self) -> str:
        return f"{self.actions} {self.allowed} per {self.per}"


@dataclass(frozen=True, slots=True)
class LimitFault:
    """What is wrong with a part of a text of limits."""

    found: str
    expected: str


class LimitFaults(ValueError):
    """All that is wrong with a text of limits."""

    def __init__(self, faults: Sequence[LimitFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{one.found!r}: {one.expected}" for one in faults))


def covers(actions: str, action: str) -> bool:
    """Whether ``actions``, as a limit names them, hold ``action``.

    What nobody decides about (logins, sockets, messages of agents) is in ``*`` only.
    """
    if actions in (EVERYTHING, action):
        return True
    if actions == EVERY_ACTION:
        return ":" in action
    return actions.endswith(":*") and action.startswith(actions[:-1])


def parse_limits(text: str) -> tuple[Limit | Quota, ...]:
    """The limits and quotas in a setting's text.

    Raises:
        LimitFaults: with every fault there is.
    """
    found: dict[str, Limit | Quota] = {}
    faults: list[LimitFault] = []
    for actions, part in _parts(text):
        try:
            limit = _limit(actions, part, default_per=None)
        except _Wrong as wrong:
            faults.append(LimitFault(f"{actions} {part}".strip(), wrong.expected))
            continue
        if limit.name in found:
            expected = f"one such limit; {found[limit.name]} is there"
            faults.append(LimitFault(str(limit), expected))
        found[limit.name] = limit
    if len(found) > LIMITS_MOST:
        faults.append(LimitFault(f"{len(found)} limits", f"at most {LIMITS_MOST}"))
    if faults:
        raise LimitFaults(faults)
    return tuple(found.values())


@lru_cache(maxsize=1024)
def parse_obligation(actions: str, text: str) -> tuple[Limit | Quota, ...]:
    """The limits that a verdict names for ``actions``; per subject where it says no other.

    Raises:
        LimitFaults
    """
    faults: list[LimitFault] = []
    limits: list[Limit | Quota] = []
    for part in text.split(","):
        try:
            limit = _limit(actions, " ".join(part.split()), default_per="subject")
            if limit.per == "address":
                # Addresses were counted before the policy was asked.
                raise _Wrong("a limit per subject, key or tenant")
            if any(one.name == limit.name for one in limits):
                raise _Wrong("each such limit once")
            limits.append(limit)
        except _Wrong as wrong:
            faults.append(LimitFault(part.strip(), wrong.expected))
    if faults:
        raise LimitFaults(faults)
    return tuple(limits)


class _Wrong(Exception):
    def __init__(self, expected: str) -> None:
        self.expected = expected


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Actions and one limit of them, again and again; a list in TOML arrives with commas only."""
    for statement in re.split(r"[;\n]", text):
        if not statement.strip():
            continue
        actions = ""
        for part in statement.split(","):
            words = part.split()
            if words and not words[0][0].isdigit():
                actions = words.pop(0)
            yield actions, " ".join(words)


def _limit(actions: str, text: str, *, default_per: str | None) -> Limit | Quota:
    if not _is_known(actions):
        raise _Wrong(AN_ACTION)
    if (match := _TOKENS.match(text)) is not None:
        return _quota(actions, match[3] or default_per or "", match[1], match[2])
    if (match := _RATE.match(text)) is not None:
        limit = Limit(actions, match[5] or default_per or "", _rate(*match.group(1, 2, 3, 4)))
    elif (match := _OPEN.match(text)) is not None:
        limit = Limit(actions, match[2] or default_per or "", None, _number(match[1]))
    else:
        raise _Wrong(A_LIMIT)
    _check(limit)
    return limit


def _is_known(actions: str) -> bool:
    if actions in (EVERYTHING, EVERY_ACTION) or actions in COUNTED:
        return True
    return actions.endswith(":*") and any(covers(actions, action) for action in COUNTED)


def _check(limit: Limit) -> None:
    """Whether it can be counted at all."""
    if limit.per not in PER:
        raise _Wrong(f"per {', '.join(PER[:-1])} or {PER[-1]}")
    if limit.actions == SOCKET and limit.per != "address":
        raise _Wrong("a socket's limit per address: its questions are counted by themselves")
    if limit.actions == MCP and limit.per != "address":
        raise _Wrong("a limit of mcp per address: its calls are counted by themselves")
    if limit.actions == LOGIN and limit.per not in ("account", "address"):
        raise _Wrong("a login's limit per account or address: nobody is known yet")
    if limit.per == "account" and limit.actions != LOGIN:
        raise _Wrong("per account for login only; for all else per subject")
    if limit.rate is not None:
        return
    if limit.per not in ("subject", "key", "tenant"):
        raise _Wrong("open streams per subject, key or tenant")
    if not any(limit.covers(action) for action in STREAMED):
        raise _Wrong(f"open streams of an action that streams: {', '.join(sorted(STREAMED))}")


def _quota(actions: str, per: str, tokens: str, period: str) -> Quota:
    if per not in SPENDERS:
        raise _Wrong("tokens per subject, key or tenant")
    if not any(covers(actions, action) for action in STREAMED):
        raise _Wrong(f"tokens of an action that answers: {', '.join(sorted(STREAMED))}")
    if len(tokens) > 13 or not 1 <= int(tokens) <= MOST_TOKENS:
        raise _Wrong(f"from 1 to {MOST_TOKENS:,} tokens")
    return Quota(actions, per, int(tokens), period)


def _rate(count: str, periods: str, unit: str, burst: str | None) -> Rate:
    period_s = (_number(periods) if periods else 1) * UNITS_S[unit]
    if period_s > LONGEST_S:
        raise _Wrong("a period of at most 31d")
    # Without a burst all of a period's may come at once, as who reads "60 a minute" expects.
    return Rate(_number(count), float(period_s), _number(burst or count))


def _number(text: str) -> int:
    if len(text) > 7 or not 1 <= int(text) <= MOST:
        raise _Wrong(f"numbers from 1 to {MOST:,}")
    return int(text)


def _period(period_s: int) -> str:
    """``m``, ``15m``, ``s``: the largest unit that it is a whole number of."""
    unit = next(unit for unit in ("d", "h", "m", "s") if period_s % UNITS_S[unit] == 0)
    count = period_s // UNITS_S[unit]
    return unit if count == 1 else f"{count}{unit}"
