"""Which limits a request meets: those of the settings, changed by the policy's obligations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gateway.domain.actions import STREAMED
from gateway.domain.limit_rules import COUNTED, Limit, LimitFaults, covers, parse_obligation
from gateway.domain.quotas import Quota

_NONE: Final[tuple[Limit, ...]] = ()


class MalformedObligation(Exception):
    """What a verdict says of limits cannot be understood, and nothing configured is in its place.

    Attributes:
        reason: for the log.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class LimitTable:
    """The configured limits by action, made once.

    Attributes:
        limits: all of them but quotas.
        quotas: how many tokens may be spent.
        accounts: those of logins, by the name that was typed.
    """

    def __init__(self, limits: Sequence[Limit | Quota], *, counts_tokens: bool = False) -> None:
        """``counts_tokens``: whether a quota that a verdict names can be held to."""
        self.limits = tuple(one for one in limits if isinstance(one, Limit))
        self.quotas = tuple(one for one in limits if isinstance(one, Quota))
        self.counts_tokens = counts_tokens or bool(self.quotas)
        self.accounts = tuple(one for one in self.limits if one.per == "account")
        addresses = [one for one in self.limits if one.per == "address"]
        callers = [one for one in self.limits if one.per in ("subject", "key", "tenant")]
        self._addresses = _by_action(addresses)
        self._callers = _by_action(callers)
        self._quotas = {
            action: tuple(one for one in self.quotas if covers(one.actions, action))
            for action in STREAMED
        }

    @property
    def counts_addresses(self) -> bool:
        return any(self._addresses.values())

    def of_address(self, action: str) -> tuple[Limit, ...]:
        return self._addresses.get(action, _NONE)

    def of_caller(self, action: str) -> tuple[Limit, ...]:
        return self._callers.get(action, _NONE)

    def under(
        self, action: str, obligations: Mapping[str, Any], complain: Callable[[str], None]
    ) -> tuple[Limit, ...]:
        """The limits of a caller, with what the verdict says of them.

        A limit in ``obligations["limits"]`` takes the place of the configured ones with the same
        actions, per the same: rates of rates, open streams of open streams. Where there is none it
        is added. One that is malformed is told to ``complain`` and changes nothing.

        Raises:
            MalformedObligation: it is malformed, and no limit of this action per subject is
                configured: the door would stand open.
        """
        configured = self.of_caller(action)
        said = obligations.get("limits")
        if said is None:
            return configured
        told, faults = _read(said)
        limits = [one for one in told if isinstance(one, Limit)]
        if len(limits) < len(told) and not self.counts_tokens:
            complain("limits has tokens, and none are counted: see GATEWAY_USAGE_COUNTED")
        if faults:
            for fault in faults:
                complain(fault)
            if not any(one.per == "subject" for one in configured):
                raise MalformedObligation(faults[0])
        return _replaced(configured, [one for one in limits if one.covers(action)])

    def of_any_action(self, obligations: Mapping[str, Any]) -> tuple[Limit, ...]:
        """All limits of a caller, each once; what is malformed in ``obligations`` is left out."""
        found: dict[str, Limit] = {}
        for action in sorted(COUNTED):
            try:
                limits = self.under(action, obligations, lambda _: None)
            except MalformedObligation:
                limits = self.of_caller(action)
            found.update({one.name: one for one in limits})
        return tuple(found.values())

    def quotas_under(self, action: str, obligations: Mapping[str, Any]) -> tuple[Quota, ...]:
        """The quotas of a caller, with what the verdict says of them, as ``under`` does.

        Raises:
            MalformedObligation: tokens are malformed, and no quota of this action per subject is
                configured.
        """
        configured = self._quotas.get(action, ())
        said = obligations.get("limits")
        if said is None:
            return configured
        found, faults = _read(said)
        malformed = [fault for fault in faults if "tokens" in fault]
        if malformed and not any(one.per == "subject" for one in configured):
            raise MalformedObligation(malformed[0])
        told = [one for one in found if isinstance(one, Quota) and covers(one.actions, action)]
        places = {one.name for one in told}
        return (*(one for one in configured if one.name not in places), *told)


def _by_action(limits: Sequence[Limit]) -> dict[str, tuple[Limit, ...]]:
    return {action: tuple(one for one in limits if one.covers(action)) for action in COUNTED}


def _read(said: object) -> tuple[list[Limit | Quota], list[str]]:
    """The limits in a verdict that can be read, and what is wrong with the others."""
    if not isinstance(said, Mapping):
        return [], [f"limits is {type(said).__name__} and no object"]
    limits: list[Limit | Quota] = []
    faults: list[str] = []
    for actions, text in said.items():
        if not isinstance(actions, str) or not isinstance(text, str):
            faults.append(f"limits has {text!r:.80} for {actions!r:.80}, which is no text")
            continue
        try:
            limits.extend(parse_obligation(actions, text))
        except LimitFaults as problem:
            faults.extend(
                f"limits has {one.found[:80]!r} for {actions[:80]!r}, expected {one.expected}"
                for one in problem.faults
            )
    return limits, faults


def _replaced(configured: Sequence[Limit], said: Sequence[Limit]) -> tuple[Limit, ...]:
    if not said:
        return tuple(configured)
    told = {_place(one) for one in said}
    return (*(one for one in configured if _place(one) not in told), *said)


def _place(limit: Limit) -> tuple[str, str, bool]:
    return limit.actions, limit.per, limit.rate is None
