"""What is asked of the policy and what may be believed of its answer (contract, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Resource:
    """What an action is aimed at; ``id`` and ``owner`` are ``None`` for a collection."""

    type: str
    id: str | None
    owner: str | None
    tenant: str


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the policy. ``route`` is the route's template, never the URL."""

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
        """The ``input`` document of the Rego package; sets are sorted, so that it is canonical."""
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


@dataclass(frozen=True, slots=True)
class Decision:
    """The policy's answer. ``decision_id`` finds it in the logs; ``cached`` is for the log."""

    allow: bool
    reason: str
    decision_id: str
    obligations: Mapping[str, Any] = field(default_factory=dict)
    cached: bool = False
