"""The settings of the company's sign-in: what goes together, and what is said of what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import SettingsError
from gateway.wiring.company import company_rules
from tests.unit.valid_settings import load

GOOD = {
    "GATEWAY_PUBLIC_URL": "https://kb.example.com",
    "GATEWAY_OIDC_ISSUER": "https://sso.example.com/realms/acme",
    "GATEWAY_OIDC_AUDIENCE": "knowledge-base",
    "GATEWAY_OIDC_TENANT": "acme",
    "GATEWAY_OIDC_ROLES": "kb-readers reader; KB Editors reader, editor;",
}

CLAIM = {"OIDC_TENANT_CLAIM": "org", "OIDC_TENANT": ""}


def faults(**changes: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**{**GOOD, **{f"GATEWAY_{name}": text for name, text in changes.items()}})
    return [fault.name for fault in caught.value.faults]


def test_the_settings_make_the_rules() -> None:
    """The issuer as it is written, the audience as the one client, the mapping as data."""
    rules = company_rules(load(**GOOD))
    assert (rules.issuer, rules.audience) == (GOOD["GATEWAY_OIDC_ISSUER"], "knowledge-base")
    assert rules.clients == {"knowledge-base"}
    assert rules.mapping.roles_of({"roles": ["KB Editors"]}) == {"reader", "editor"}
    assert rules.mapping.tenant_of({}) == "acme"
    assert (rules.lifetime_s, rules.skew_s) == (24 * 3600, 30)
    slash = load(**{**GOOD, "GATEWAY_OIDC_ISSUER": "https://acme.eu.auth0.com/"})
    assert company_rules(slash).issuer == "https://acme.eu.auth0.com/"
    assert company_rules(load(**GOOD, GATEWAY_OIDC_CLIENTS="*")).clients is None
    assert company_rules(load(**GOOD, GATEWAY_OIDC_CLIENTS="a,b")).clients == {"a", "b"}


def test_the_tables_may_stand_in_a_file(tmp_path: Path) -> None:
    """As tables, whose keys are the claim's values, with any blanks."""
    file = tmp_path / "gateway.toml"
    file.write_text(
        '[oidc_roles]\n"KB Readers" = "reader"\n"/kb/editors" = ["reader", "editor"]\n'
        '[oidc_tenants]\n"Acme Ltd" = "acme"\n',
        "utf-8",
    )
    claim = {"GATEWAY_OIDC_TENANT": "", "GATEWAY_OIDC_TENANT_CLAIM": "org"}
    mapping = company_rules(load(file, **{**GOOD, "GATEWAY_OIDC_ROLES": "", **claim})).mapping
    assert mapping.roles == {
        "KB Readers": frozenset({"reader"}),
        "/kb/editors": frozenset({"reader", "editor"}),
    }
    assert mapping.tenants == {"Acme Ltd": "acme"}


def test_nothing_but_the_issuer_switches_it_on() -> None:
    """Without it the gateway is as it was; with it nobody local has to be there."""
    assert load().oidc_issuer is None
    assert load(**GOOD, GATEWAY_USERS_FILE="").oidc_issuer


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"OIDC_AUDIENCE": ""}, ["GATEWAY_OIDC_AUDIENCE"]),
        ({"OIDC_ROLES": ""}, ["GATEWAY_OIDC_ROLES"]),
        ({"PUBLIC_URL": ""}, ["GATEWAY_PUBLIC_URL"]),
        ({"OIDC_TENANT": ""}, ["GATEWAY_OIDC_TENANT"]),
        ({"OIDC_TENANT_CLAIM": "org"}, ["GATEWAY_OIDC_TENANT"]),
        ({"OIDC_TENANTS": "Acme Ltd acme"}, ["GATEWAY_OIDC_TENANT_CLAIM"]),
        ({"OIDC_ISSUER": ""}, ["GATEWAY_OIDC_ISSUER"]),
        ({"OIDC_ISSUER": "http://sso.example.com"}, ["GATEWAY_OIDC_ISSUER"]),
        ({"OIDC_ISSUER": "https://sso.example.com/?realm=acme"}, ["GATEWAY_OIDC_ISSUER"]),
        ({"OIDC_ISSUER": "sso.example.com"}, ["GATEWAY_OIDC_ISSUER"]),
        ({"OIDC_ROLES": "kb-readers"}, ["GATEWAY_OIDC_ROLES"]),
        ({"OIDC_ROLES": "kb-readers Reader; x y z!"}, ["GATEWAY_OIDC_ROLES"] * 2),
        ({"OIDC_ROLES": "a reader; a editor"}, ["GATEWAY_OIDC_ROLES"]),
        (
            {"OIDC_TENANT_CLAIM": "org", "OIDC_TENANT": "", "OIDC_TENANTS": "A B C"},
            ["GATEWAY_OIDC_TENANTS"],
        ),
        ({"OIDC_NAME_CLAIM": "a b"}, ["GATEWAY_OIDC_NAME_CLAIM"]),
        ({"OIDC_KEYS_SLEEP_AFTER": "1m"}, ["GATEWAY_OIDC_KEYS_SLEEP_AFTER"]),
        ({"OIDC_CA_FILE": "/nowhere/ca.crt"}, ["GATEWAY_OIDC_CA_FILE"]),
    ],
)
def test_what_does_not_go_together_is_named(changes: dict[str, str], names: list[str]) -> None:
    """At start, all at once."""
    assert faults(**changes) == names


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what has to be installed."""
    monkeypatch.setattr("gateway.settings.oidc_settings.importlib.util.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"knowledge-base-gateway\[oidc\]"):
        load(**GOOD)
