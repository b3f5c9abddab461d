"""What is believed of a token of the company's provider."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.company import company_subject
from gateway.domain.company_tokens import (
    CompanyClaims,
    CompanyRules,
    is_company_token,
    read_header,
    verify,
)
from gateway.errors import TokenExpired, Unauthenticated
from tests.company import AUDIENCE, ISSUER, NOW, Issuer, SigningKey, hmac_with, public_keys, rules
from tests.edge.forging import forge

KEYS = [SigningKey("RS256"), SigningKey("ES256", key_id="key-2"), SigningKey("EdDSA", key_id="3")]
PUBLIC = public_keys(*KEYS)
PROVIDER = Issuer(keys=KEYS)


def judged(text: str, now: float = NOW, under: CompanyRules | None = None) -> CompanyClaims:
    """As a worker does it, up to the first refusal."""
    header = read_header(text)
    key = PUBLIC.find(header.key_id, header.algorithm)
    if key is None:
        raise Unauthenticated(reason="signing_key")
    return verify(text, key, now, under or rules())[0]


def refusal(text: str, now: float = NOW, under: CompanyRules | None = None) -> str | None:
    with pytest.raises(Unauthenticated) as caught:
        judged(text, now, under)
    return caught.value.reason


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.algorithm)
def test_a_good_token_says_whose_it_is(key: SigningKey) -> None:
    """By each of the three algorithms: subject, tenant, roles by the mapping, a name to show."""
    claims = judged(PROVIDER.token(key=key))
    assert claims.subject == company_subject(ISSUER, "f:42:erin")
    assert (claims.tenant, claims.roles) == ("acme", {"editor", "reader"})
    assert (claims.name, claims.token_id) == ("erin", "token-1")
    assert (claims.issued_at, claims.expires_at) == (NOW, NOW + 3600)


def test_only_what_a_public_key_could_verify_is_the_companys() -> None:
    """Tokens signed with a secret, or with nothing, are judged as the gateway's own."""
    assert all(is_company_token(PROVIDER.token(key=key)) for key in KEYS)
    assert is_company_token(PROVIDER.token({"alg": "PS384"}))
    for header in ({"alg": "HS256"}, {"alg": "none"}, {"alg": "None"}, {"alg": 7}, {"alg": ""}):
        assert not is_company_token(PROVIDER.token(header))
    for text in (forge(), "", "a", "a.b.c", ".b.c", "e30.e30.e30", "é.b.c", "x" * 10_000):
        assert not is_company_token(text)


SPOILT: dict[str, tuple[str, str]] = {
    "another issuer": (PROVIDER.token(iss="https://evil.example.com"), "issuer"),
    "an issuer with a slash more": (PROVIDER.token(iss=f"{ISSUER}/"), "issuer"),
    "no issuer": (PROVIDER.token(without="iss"), "issuer"),
    "another audience": (PROVIDER.token(aud="payroll"), "audience"),
    "other audiences": (PROVIDER.token(aud=["payroll", f"{AUDIENCE}-2"]), "audience"),
    "an audience that is no text": (PROVIDER.token(aud=[AUDIENCE, 7]), "audience"),
    "no audience": (PROVIDER.token(without="aud"), "audience"),
    "another client": (PROVIDER.token(azp="evil"), "client"),
    "another client, by its id": (PROVIDER.token(client_id="evil"), "client"),
    "a client that is no text": (PROVIDER.token(azp=["kb-cli"]), "client"),
    "two audiences and no client": (
        PROVIDER.token(aud=[AUDIENCE, "payroll"], without="azp"),
        "client",
    ),
    "another key": (PROVIDER.token(key=SigningKey(number=1)), "signature"),
    "a key of another algorithm": (PROVIDER.token({"kid": "key-2"}), "signing_key"),
    "an unknown key": (PROVIDER.token({"kid": "key-9"}), "signing_key"),
    "a key id that is no text": (PROVIDER.token({"kid": 7}), "header"),
    "another algorithm": (PROVIDER.token({"alg": "RS512"}), "algorithm"),
    "another algorithm with the same key": (PROVIDER.token({"alg": "PS256"}), "algorithm"),
    "a critical extension": (PROVIDER.token({"crit": ["b64"], "b64": True}), "header"),
    "a token for logging out": (PROVIDER.token({"typ": "logout+jwt"}), "header"),
    "a proof of possession": (PROVIDER.token({"typ": "dpop+jwt"}), "header"),
    "no subject": (PROVIDER.token(without="sub"), "claim_sub"),
    "an empty subject": (PROVIDER.token(sub=""), "claim_sub"),
    "a subject of 256 characters": (PROVIDER.token(sub="a" * 256), "claim_sub"),
    "a subject that is no text": (PROVIDER.token(sub=42), "claim_sub"),
    "a subject of half a character": (PROVIDER.token(sub="\ud800"), "claim_sub"),
    "no tenant": (PROVIDER.token(without="organization"), "claim_tenant"),
    "a tenant that is no name": (PROVIDER.token(organization="../other"), "claim_tenant"),
    "a tenant that is a list": (PROVIDER.token(organization=["acme"]), "claim_tenant"),
    "no time of issue": (PROVIDER.token(without="iat"), "claim_iat"),
    "no end": (PROVIDER.token(without="exp"), "claim_exp"),
    "an end in quotes": (PROVIDER.token(exp=str(NOW + 3600)), "claim_exp"),
    "an end in parts of a second": (PROVIDER.token(exp=NOW + 3600.5), "claim_exp"),
    "an end in milliseconds": (PROVIDER.token(exp=(NOW + 3600) * 1000), "claim_exp"),
    "a truth for a time": (PROVIDER.token(iat=True), "claim_iat"),
    "a beginning that is null": (PROVIDER.token(nbf=None), "claim_nbf"),
    "too long": (PROVIDER.token(groups=["x" * 8192]), "too_long"),
    "padding": (PROVIDER.token() + "=", "malformed"),
    "four parts": (PROVIDER.token() + ".x", "malformed"),
    "an altered payload": (
        ".".join((PROVIDER.token().split(".")[0], *PROVIDER.token(sub="f:42:adam").split(".")[1:2]))
        + "."
        + PROVIDER.token().split(".")[2],
        "signature",
    ),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_spoilt_token_is_refused(spoilt: str) -> None:
    """Each fault by itself, by its word for the log."""
    text, reason = SPOILT[spoilt]
    assert refusal(text) == reason


def test_a_public_key_is_never_a_secret() -> None:
    """An HS256 token signed with the public key, in any of its spellings, is no company token; and
    under another ``alg`` its signature is none."""
    key = KEYS[0]
    for secret in (key.pem, key.pem.strip(), key.jwk["n"].encode()):
        text = PROVIDER.token({"alg": "HS256"}, sign=hmac_with(secret))
        assert not is_company_token(text)
        assert refusal(PROVIDER.token(sign=hmac_with(secret))) == "signature"


def test_the_header_chooses_no_algorithm_for_a_key() -> None:
    """A key verifies what it is for, whatever the token says: not even called directly."""
    key = PUBLIC.find("key-1", "RS256")
    assert key is not None
    for header in ({"alg": "none"}, {"alg": "HS256"}, {"alg": "ES256"}, {"alg": "PS256"}):
        with pytest.raises(Unauthenticated) as caught:
            verify(PROVIDER.token(header), key, NOW, rules())
        assert caught.value.reason == "signature"


@pytest.mark.parametrize(
    ("claims", "now", "reason"),
    [
        ({}, NOW + 3599, None),
        ({}, NOW + 3600, "expired"),
        ({"iat": NOW + 30, "nbf": NOW + 30}, NOW, None),
        ({"iat": NOW + 31}, NOW, "not_yet_valid"),
        ({"nbf": NOW + 31}, NOW, "not_yet_valid"),
        ({"exp": NOW + 10 * 24 * 3600}, NOW + 24 * 3600 - 1, None),
        ({"exp": NOW + 10 * 24 * 3600}, NOW + 24 * 3600, "expired"),
        ({"exp": NOW - 1}, NOW, "expired"),
    ],
)
def test_the_clock_has_the_last_word(
    claims: dict[str, Any], now: float, reason: str | None
) -> None:
    """The skew is allowed on the beginning alone, and nothing lives longer than our own tokens."""
    text = PROVIDER.token(**claims)
    assert (None if judged_well(text, now) else refusal(text, now)) == reason


def judged_well(text: str, now: float) -> bool:
    try:
        judged(text, now)
    except Unauthenticated:
        return False
    return True


def test_an_expired_token_is_told_from_a_wrong_one() -> None:
    """Who sees it signs in again."""
    with pytest.raises(TokenExpired) as caught:
        judged(PROVIDER.token(), NOW + 3600)
    assert caught.value.named.account == company_subject(ISSUER, "f:42:erin")


def test_a_refusal_names_nobody_whose_signature_is_wrong() -> None:
    """Else anybody could fill the log with a name; of another issuer's people we know none."""
    for text, named in (
        (PROVIDER.token(key=SigningKey(number=1)), None),
        (PROVIDER.token(iss="https://evil.example.com"), None),
        (PROVIDER.token(aud="payroll"), company_subject(ISSUER, "f:42:erin")),
    ):
        with pytest.raises(Unauthenticated) as caught:
            judged(text)
        assert caught.value.named.account == named


def test_clients_may_be_any_where_it_is_said() -> None:
    """For a provider where agents register themselves."""
    assert (
        judged(PROVIDER.token(azp="somebody's agent"), under=rules(clients=None)).tenant == "acme"
    )
    two = PROVIDER.token(aud=[AUDIENCE, "payroll"], without="azp")
    assert refusal(two, under=rules(clients=None)) == "client"


@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "AT+JWT", "application/at+jwt", None])
def test_the_types_of_access_tokens_and_id_tokens_are_known(kind: str | None) -> None:
    """RFC 9068, 2.1."""
    assert judged(PROVIDER.token({"typ": kind})).tenant == "acme"


def test_a_token_without_a_key_id_is_the_only_keys() -> None:
    """Where there are two of its algorithm, nobody guesses."""
    text = PROVIDER.token({"kid": None})
    one, two = public_keys(KEYS[0]), public_keys(KEYS[0], SigningKey(number=1, key_id="key-9"))
    header = read_header(text)
    key = one.find(header.key_id, header.algorithm)
    assert key is not None
    assert verify(text, key, NOW, rules())[0].tenant == "acme"
    assert two.find(header.key_id, header.algorithm) is None


def test_a_token_without_an_id_has_one_that_its_spelling_does_not_change() -> None:
    """An ECDSA signature has a second spelling, by which a token that was ended would live on."""
    first = PROVIDER.token(key=KEYS[1], without="jti")
    second = PROVIDER.token(key=KEYS[1], without="jti")
    assert first != second
    assert judged(first).token_id == judged(second).token_id
    odd = judged(PROVIDER.token(jti="two\nlines")).token_id
    assert len(odd) == 32


def test_people_of_two_issuers_never_share_a_name() -> None:
    """Nor do two people of one; the name is one as all others."""
    names = {
        company_subject("https://a", "b"),
        company_subject("https://a", "c"),
        company_subject("https://b", "b"),
        company_subject("https://", "ab"),
        company_subject("https://a\nb", ""),
    }
    assert len(names) == 5
    assert all(len(name) == 37 and name.startswith("oidc-") for name in names)
