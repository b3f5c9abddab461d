"""The question to the policy, and the check of its answer (contract, section 4)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

# The gateway's own reasons to deny; docs/policy.md lists the policy's.
POLICY_BROKEN: Final = "policy_broken"
MALFORMED_INPUT: Final = "malformed_input"

# The probe is an empty question: a working policy denies it and gives a reason.
PROBE: Final[Mapping[str, Any]] = {}

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class Resource(NamedTuple):
    """The target of an action; ``id`` and ``owner`` are ``None`` for a collection."""

    type: str
    id: str | None
    owner: str | None
    tenant: str


class PolicyQuestion(NamedTuple):
    """One question to the policy. ``route`` is the route's template, never the URL.

    Each request makes one: a tuple takes a fifth of the time of a frozen dataclass.
    """

    subject: str
    tenant: str
    roles: frozenset[str]
    scopes: frozenset[str] | None
    auth: str
    action: str
    resource: Resource
    method: str
    route: str
    ip: str

    def as_input(self) -> dict[str, Any]:
        """The ``input`` document of the Rego package; sets are sorted, to give one spelling."""
        return {
            "subject": {
                "id": self.subject,
                "tenant": self.tenant,
                "roles": sorted(self.roles),
                "scopes": None if self.scopes is None else sorted(self.scopes),
                "auth": self.auth,
            },
            "action": self.action,
            "resource": {
                "type": self.resource.type,
                "id": self.resource.id,
                "owner": self.resource.owner,
                "tenant": self.resource.tenant,
            },
            "request": {"method": self.method, "route": self.route, "ip": self.ip},
        }

    def digest(self, revision: str) -> bytes | None:
        """A cache key: 16 bytes over the whole input and the policy's ``revision``.

        ``None`` when the question cannot be written in JSON, and so cannot be asked.
        """
        resource = self.resource
        whole = (
            *(self.subject, self.tenant, sorted(self.roles), self.auth, self.action),
            None if self.scopes is None else sorted(self.scopes),
            *(resource.type, resource.id, resource.owner, resource.tenant),
            *(self.method, self.route, self.ip, revision),
        )
        try:
            return hashlib.blake2b(msgspec.json.encode(whole), digest_size=16).digest()
        except UnicodeEncodeError:
            return None


@dataclass(frozen=True, slots=True)
class Decision:
    """The policy's answer. The logs have it under ``decision_id``; ``cached`` is for the log."""

    allow: bool
    reason: str
    decision_id: str
    obligations: Mapping[str, Any] = field(default_factory=dict)
    cached: bool = False


def canonical(document: object) -> bytes | None:
    """``document`` in JSON, always spelled the same way: the form both engines read.

    ``None`` when JSON cannot express it (a lone surrogate, NaN): such an input is denied and never
    sent.
    """
    try:
        text = json.dumps(
            document, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
        )
        return text.encode()
    except (ValueError, TypeError, RecursionError):
        return None


def believe(answer: object, decision_id: str) -> Decision:
    """The decision in an engine's answer, which is the whole ``gateway.authz`` document.

    Only the boolean true allows. An answer without the three fields, or with a field of another
    type, means that the policy is broken (an undefined rule, a conflict), and denies. Other fields,
    such as an operator's own rules, are ignored.
    """
    if isinstance(answer, Mapping):
        allow, reason, obligations = (answer.get(k) for k in ("allow", "reason", "obligations"))
        if isinstance(allow, bool) and isinstance(reason, str) and isinstance(obligations, Mapping):
            # Interned, as thousands of decisions are cached and nearly all have the same reason.
            return Decision(allow is True, intern(reason), decision_id, obligations or _NONE)
    return deny(POLICY_BROKEN, decision_id)


def deny(reason: str, decision_id: str) -> Decision:
    """A denial by the gateway itself, without obligations."""
    return Decision(allow=False, reason=reason, decision_id=decision_id)


def is_sound(probe: Decision) -> bool:
    """Whether the answer to ``PROBE`` shows a working policy: a denial with a reason."""
    return not probe.allow and probe.reason != POLICY_BROKEN
