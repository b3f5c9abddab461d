"""Which claims of a company's token say whose it is and what he may: data of the settings.

A claim is named by its name, or by a path with dots through objects (``realm_access.roles``). A
claim whose own name has dots is found first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.domain.identity import is_name

NAME_LIMIT_CHARS: Final = 128
# Of a claim's values, how many are looked at: directories put people into hundreds of groups.
VALUES_LIMIT: Final = 2_000

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """
    Args:
        tenant: everybody's, where no claim says it.
        tenant_claim: the claim that says it, where one does.
        tenants: a value of that claim → the tenant; empty: the value is the tenant's name itself.
        roles_claim: a claim with a list of values, or one text of values parted by blanks.
        roles: a value of that claim → roles; who has no value in it has no role.
        name_claim: what a person is shown as.
    """

    tenant: str | None
    tenant_claim: str | None
    roles_claim: str
    roles: Mapping[str, frozenset[str]] = field(hash=False)
    name_claim: str
    tenants: Mapping[str, str] = field(default_factory=dict, hash=False)

    def tenant_of(self, claims: Claims) -> str | None:
        """``None`` where no claim says it, or what it says is no tenant."""
        if self.tenant_claim is None:
            return self.tenant
        value = value_at(claims, self.tenant_claim)
        if not isinstance(value, str):
            return None
        if self.tenants:
            return self.tenants.get(value)
        return value if is_name(value) else None

    def roles_of(self, claims: Claims) -> frozenset[str]:
        values = _texts(value_at(claims, self.roles_claim))
        none: frozenset[str] = frozenset()
        return none.union(*(self.roles.get(value, none) for value in values))

    def name_of(self, claims: Claims) -> str | None:
        """On one line and not too long, whatever the claim holds; ``None`` where it holds none."""
        value = value_at(claims, self.name_claim)
        if not isinstance(value, str):
            return None
        shown = "".join(char for char in value[:NAME_LIMIT_CHARS] if char.isprintable())
        return shown.strip() or None


def value_at(claims: Claims, path: str) -> Any:
    """What a claim holds; ``None`` where there is none."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        value = [value, *value.split(" ")]
    if isinstance(value, list):
        yield from (one for one in value[:VALUES_LIMIT] if isinstance(one, str))
