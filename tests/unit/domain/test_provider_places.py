"""Where a provider says that it takes what, and which places are none."""

from __future__ import annotations

import pytest

from gateway.domain.provider_places import Places, places_of

AUTHORIZATION, TOKEN = "https://sso.example.com/auth?realm=a", "https://sso.example.com:8443/token"


def test_a_sign_in_goes_where_the_provider_says() -> None:
    """A secret goes by HTTP Basic unless the provider takes it in the body alone."""
    said = {"authorization_endpoint": AUTHORIZATION, "token_endpoint": TOKEN}
    assert places_of(said) == Places(AUTHORIZATION, TOKEN, names_issuer=False, secret_in_body=False)
    post = {**said, "token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert places_of(post).secret_in_body


@pytest.mark.parametrize(
    "place",
    [
        None,
        7,
        "",
        "/token",
        "http://sso.example.com/token",
        "ftp://sso.example.com/token",
        "https://",
        "https://[::1/token",
        "https://a@sso.example.com/",
        "https://sso.example.com/#",
        "https://sso.example.com:99999/",
        "https://sso.example.com:x/",
        "https://sso.example.com:0/",
        "https://sso.example.com/\r\nX: y",
        "https://sso.example.com/a b",
        "https://s\u017fo.example",
    ],
)
def test_what_is_no_good_place_is_none(place: object) -> None:
    """In plain text, nowhere, of another scheme, or with what would become another header."""
    good = {"authorization_endpoint": AUTHORIZATION, "token_endpoint": TOKEN}
    for name in good:
        with pytest.raises(ValueError, match=r"."):
            places_of({**good, name: place})
