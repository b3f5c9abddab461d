"""What claims mean: data, and nothing that a claim could say for itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.claim_mapping import value_at
from tests.company import MAPPING

CLAIMS: dict[str, Any] = {
    "realm_access": {"roles": ["kb-readers"]},
    "https://example.com/roles": ["kb-editors"],
    "a.b": "whole",
    "a": {"b": "path"},
    "tid": "Acme Ltd",
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("realm_access.roles", ["kb-readers"]),
        ("https://example.com/roles", ["kb-editors"]),
        ("a.b", "whole"),
        ("realm_access.roles.0", None),
        ("tid.x", None),
        ("missing", None),
        ("", None),
    ],
)
def test_a_claim_is_found_by_its_name_or_by_a_path(path: str, value: Any) -> None:
    """Whole names come first: some providers' have dots."""
    assert value_at(CLAIMS, path) == value


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        (["kb-readers", "kb-editors"], {"reader", "editor"}),
        ("kb-readers", {"reader"}),
        ("openid kb-readers", {"reader"}),
        (["admin", "reader"], set()),
        (["kb-readers kb-editors"], set()),
        ([{"kb-readers": True}, 7, None], set()),
        ({"kb-readers": True}, set()),
        (None, set()),
    ],
)
def test_only_mapped_values_give_roles(value: Any, roles: set[str]) -> None:
    """A group that happens to be called like a role of ours is none."""
    assert MAPPING.roles_of({"groups": value}) == roles


def test_a_tenant_is_fixed_named_by_a_claim_or_mapped() -> None:
    """What is not in the table is no tenant, though it be a name."""
    mapped = replace(MAPPING, tenant_claim="tid", tenants={"Acme Ltd": "acme"})
    assert mapped.tenant_of(CLAIMS) == "acme"
    assert mapped.tenant_of({"tid": "other"}) is None
    assert MAPPING.tenant_of({"organization": "acme"}) == "acme"
    assert replace(MAPPING, tenant="main", tenant_claim=None).tenant_of({}) == "main"
    for wrong in ({}, {"organization": "A B"}, {"organization": ["acme"]}, {"organization": ""}):
        assert MAPPING.tenant_of(wrong) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Erin Example", "Erin Example"),
        ("Erin\r\nSet-Cookie: x", "ErinSet-Cookie: x"),
        ("\u202e\u0000", None),
        ("x" * 500, "x" * 128),
        (["erin"], None),
        ("", None),
    ],
)
def test_a_shown_name_is_one_line(value: Any, shown: str | None) -> None:
    """It ends in answers and in the log."""
    assert MAPPING.name_of({"preferred_username": value}) == shown
