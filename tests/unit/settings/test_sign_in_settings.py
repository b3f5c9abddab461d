"""What has to be set for browsers to sign in, and what contradicts it."""

from __future__ import annotations

import pytest

from gateway.settings import SettingsError

from ..valid_settings import load

GOOD = {
    "GATEWAY_PUBLIC_URL": "https://kb.example.com",
    "GATEWAY_OIDC_ISSUER": "https://login.example.com",
    "GATEWAY_OIDC_AUDIENCE": "kb",
    "GATEWAY_OIDC_TENANT": "acme",
    "GATEWAY_OIDC_ROLES": "staff reader",
    "GATEWAY_OIDC_CLIENT_ID": "kb",
}


def test_a_client_is_what_turns_it_on() -> None:
    """Tokens of the provider alone need none."""
    assert load(**GOOD).signs_in_browsers
    assert not load(**{**GOOD, "GATEWAY_OIDC_CLIENT_ID": ""}).signs_in_browsers
    assert not load().signs_in_browsers


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1"])
def test_plain_http_is_for_this_machine(url: str) -> None:
    assert load(**{**GOOD, "GATEWAY_PUBLIC_URL": url}).signs_in_browsers


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"GATEWAY_PUBLIC_URL": ""}, "GATEWAY_PUBLIC_URL"),
        ({"GATEWAY_PUBLIC_URL": "http://kb.example.com"}, "GATEWAY_PUBLIC_URL"),
        ({"GATEWAY_OIDC_ISSUER": ""}, "GATEWAY_OIDC_ISSUER"),
        ({"GATEWAY_OIDC_SCOPES": "profile"}, "GATEWAY_OIDC_SCOPES"),
        ({"GATEWAY_OIDC_SCOPES": 'openid,a"b'}, "GATEWAY_OIDC_SCOPES"),
        ({"GATEWAY_CORS_HEADERS": "X-CSRF-Protection"}, "GATEWAY_CORS_HEADERS"),
        ({"GATEWAY_OIDC_EXCHANGE_TIMEOUT": "0s"}, "GATEWAY_OIDC_EXCHANGE_TIMEOUT"),
        (
            {"GATEWAY_OIDC_CLIENT_ID": "", "GATEWAY_OIDC_CLIENT_SECRET": "s3cret-of-the-client"},
            "GATEWAY_OIDC_CLIENT_ID",
        ),
    ],
    ids=str,
)
def test_what_cannot_work_does_not_start(changes: dict[str, str], fault: str) -> None:
    """By the name of the setting, and without the secret."""
    with pytest.raises(SettingsError) as caught:
        load(**{**GOOD, **changes})
    assert fault in str(caught.value)
    assert "s3cret" not in str(caught.value)
