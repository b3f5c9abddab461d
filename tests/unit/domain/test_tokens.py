"""Tokens: what is signed, and each way in which one that comes back is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.identity import User
from gateway.domain.tokens import (
    Claims,
    TokenSettings,
    is_under,
    issue,
    parse_secret,
    password_tag,
    stands_for,
    verify,
)
from gateway.errors import TokenExpired, Unauthenticated
from tests.unit.values import token_settings

NOW = 1_800_000_000.5
SECRET = b"0123456789abcdef0123456789abcdef"
OTHER = b"fedcba9876543210fedcba9876543210"
SETTINGS = token_settings(SECRET)
ALICE = User("alice", "acme", frozenset({"editor", "reader"}), "$argon2id$alice")


def payload(**changes: Any) -> dict[str, Any]:
    """A right payload with ``changes``; a value of ``...`` takes the claim away."""
    iat = int(NOW)
    claims: dict[str, Any] = {
        "sub": "alice",
        "tenant": "acme",
        "roles": ["editor"],
        "iat": iat,
        "nbf": iat,
        "exp": iat + 3600,
        "iss": SETTINGS.issuer,
        "aud": SETTINGS.audience,
        "jti": "0123456789",
    }
    claims.update(changes)
    return {name: value for name, value in claims.items() if value is not ...}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(body: bytes, header: bytes = b'{"alg":"HS256","typ":"JWT"}', key: bytes = SECRET) -> str:
    """A compact token of exactly these bytes, signed by hand: no library tidies them up."""
    head = f"{b64(header)}.{b64(body)}"
    return f"{head}.{b64(hmac.digest(key, head.encode(), 'sha256'))}"


def token(**changes: Any) -> str:
    return sign(json.dumps(payload(**changes)).encode())


def refusal(text: str, settings: TokenSettings = SETTINGS, now: float = NOW) -> str | None:
    with pytest.raises(Unauthenticated) as caught:
        verify(text, now, settings)
    return caught.value.reason


def test_an_issued_token_verifies_to_the_same_user() -> None:
    """What login signs says who, where and as what, for exactly the configured lifetime."""
    issued = issue(ALICE, NOW, SETTINGS)

    claims = verify(issued.access_token, NOW, SETTINGS)

    assert (claims.subject, claims.tenant, claims.roles) == ("alice", "acme", ALICE.roles)
    assert claims.issued_at == int(NOW)
    assert claims.expires_at == issued.expires_at == int(NOW) + 24 * 3600
    assert issued.expires_in == 24 * 3600
    assert issued.access_token not in repr(issued)


def test_an_issued_token_holds_every_claim_of_the_contract() -> None:
    """Another HS256 implementation reads all nine claims from it."""
    issued = issue(ALICE, NOW, SETTINGS)

    read = jwt.decode(
        issued.access_token,
        SECRET,
        algorithms=["HS256"],
        audience=SETTINGS.audience,
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )

    assert read.keys() >= {"sub", "tenant", "roles", "iat", "nbf", "exp", "iss", "aud", "jti"}


def test_two_tokens_of_one_second_have_two_ids() -> None:
    """``jti`` tells tokens apart in the log."""
    first, second = (verify(issue(ALICE, NOW, SETTINGS).access_token, NOW, SETTINGS) for _ in "ab")
    assert first.token_id != second.token_id


def test_a_token_minted_elsewhere_with_the_nine_claims_alone_is_believed() -> None:
    """The private claim is ours to add and nobody's duty to send."""
    assert verify(token(), NOW, SETTINGS).password_tag is None


@pytest.mark.parametrize(
    "claim", ["sub", "tenant", "roles", "iat", "nbf", "exp", "iss", "aud", "jti"]
)
@pytest.mark.parametrize("value", [..., None, True, {}, 1.5, -1, "", [1], [[]]])
def test_each_claim_is_required_and_of_its_type(claim: str, value: Any) -> None:
    """A missing claim, and one of another type, is a refusal and never a guess."""
    assert refusal(token(**{claim: value}))


@pytest.mark.parametrize("claim", ["iat", "nbf", "exp"])
def test_a_time_in_quotes_is_refused(claim: str) -> None:
    """JWT libraries take a numeric string for a number; two readings of one token are one bug."""
    assert refusal(token(**{claim: str(int(NOW) + 10)})) == f"claim_{claim}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sub": "Alice"}, "claim_sub"),
        ({"sub": "alice\n"}, "claim_sub"),
        ({"sub": "../bob"}, "claim_sub"),
        ({"tenant": "a/b"}, "claim_tenant"),
        ({"tenant": "a" * 65}, "claim_tenant"),
        ({"roles": "admin"}, "claim_roles"),
        ({"roles": ["admin", 1]}, "claim_roles"),
        ({"roles": ["Admin"]}, "claim_roles"),
        ({"roles": ["a"] * 65}, "claim_roles"),
        ({"jti": "a\nb"}, "claim_jti"),
        ({"exp": float("nan")}, "claim_exp"),
        ({"exp": 10**15}, "claim_exp"),
        ({"aud": [SETTINGS.audience]}, "audience"),
        ({"aud": "elsewhere"}, "audience"),
        ({"iss": "elsewhere"}, "issuer"),
        ({"iss": ...}, "issuer"),
        ({"aud": ...}, "audience"),
        ({"exp": ...}, "claim_exp"),
        ({"pwv": 3}, "claim_pwv"),
        ({"pwv": "é"}, "claim_pwv"),
        ({"gen": "7"}, "claim_gen"),
        ({"gen": -1}, "claim_gen"),
        ({"gen": True}, "claim_gen"),
        ({"gen": 7.0}, "claim_gen"),
        ({"gen": 10**18}, "claim_gen"),
    ],
)
def test_a_claim_with_a_wrong_value_is_refused(changes: dict[str, Any], reason: str) -> None:
    """Names keep to their patterns, for they become parts of object keys and headers."""
    assert refusal(token(**changes)) == reason


def test_expiry_is_to_the_second_and_without_leeway() -> None:
    """The token ends at ``exp``, whatever the skew."""
    text = token()
    assert verify(text, int(NOW) + 3599.9, SETTINGS)
    with pytest.raises(TokenExpired):
        verify(text, int(NOW) + 3600, SETTINGS)


def test_a_shortened_lifetime_holds_for_tokens_already_out() -> None:
    """A token is honoured for the configured lifetime after ``iat`` at most."""
    text = token(exp=int(NOW) + 10 * 365 * 86400)
    short = replace(SETTINGS, lifetime_s=60)
    assert verify(text, NOW, short).expires_at == int(NOW) + 60
    with pytest.raises(TokenExpired):
        verify(text, NOW + 60, short)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_time_ahead_is_allowed_up_to_the_skew(claim: str) -> None:
    """Replicas' clocks differ a little; a token from further ahead is not believed."""
    now = int(NOW)
    assert verify(token(**{claim: now + 30}), now, SETTINGS)
    assert refusal(token(**{claim: now + 31}), now=now) == "not_yet_valid"


def test_rotation_verifies_with_both_secrets_and_signs_with_the_first() -> None:
    """Old tokens live on while the old secret is listed, and no longer."""
    old = issue(ALICE, NOW, SETTINGS).access_token
    both = token_settings(OTHER, SECRET)
    new = issue(ALICE, NOW, both).access_token

    assert stands_for(verify(old, NOW, both), ALICE, both)
    assert verify(new, NOW, token_settings(OTHER))
    assert refusal(old, token_settings(OTHER)) == "signature"
    assert refusal(new) == "signature"


def test_a_token_longer_than_8_kib_is_refused_unread() -> None:
    """Even a rightly signed one: its length alone decides."""
    assert refusal(token(jti="x", filler="x" * 8192)) == "too_long"


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none"}',
        b'{"alg":"None","typ":"JWT"}',
        b'{"alg":"HS512","typ":"JWT"}',
        b'{"alg":"RS256","typ":"JWT"}',
        b'{"alg":["HS256"]}',
        b'{"alg":{}}',
        b'{"alg":null}',
        b"{}",
        b"[]",
        b'"HS256"',
        b"not json",
        b"\xff\xfe",
        b"[" * 4000,
        b'{"alg":' + b"1" * 5000 + b"}",
        b'{"alg":"HS256","crit":["exp"]}',
        b'{"alg":"HS256","crit":[]}',
        b'{"alg":"HS256","crit":["b64"],"b64":false}',
        b'{"alg":"HS256","b64":false}',
        b'{"alg":"HS256","kid":"../../etc/passwd"}',
        b'{"alg":"HS256","kid":1}',
        b'{"alg":"HS256","jku":"https://attacker.example/keys"}',
        b'{"alg":"HS256","typ":"at+jwt"}',
    ],
)
def test_a_header_that_is_not_ours_is_refused(header: bytes) -> None:
    """HS256, and nothing in the header but ``alg`` and ``typ``, even under a right signature."""
    assert refusal(sign(json.dumps(payload()).encode(), header))


def test_alg_none_without_a_signature_is_refused() -> None:
    """The oldest trick there is."""
    header, body = b64(b'{"alg":"none"}'), b64(json.dumps(payload()).encode())
    assert refusal(f"{header}.{body}.") == "malformed"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b'"x"', b"{", b"\xff", b"[" * 4000, b'{"exp":' + b"9" * 5000 + b"}"]
)
def test_a_signed_payload_that_is_no_claims_object_is_refused(body: bytes) -> None:
    """A right signature over nonsense is still a 401, never a 500."""
    assert refusal(sign(body))


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c.d", "a b.c.d", "é.é.é", "a.b.c="])
def test_what_is_no_compact_token_is_refused(text: str) -> None:
    """Three base64url parts, nothing else."""
    assert refusal(text) == "malformed" or refusal(text) == "signature"


def test_an_altered_token_is_refused() -> None:
    """One other byte in the payload and the signature no longer fits."""
    head, body, signature = issue(ALICE, NOW, SETTINGS).access_token.split(".")
    forged = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged["roles"] = ["admin"]
    assert refusal(f"{head}.{b64(json.dumps(forged).encode())}.{signature}") == "signature"


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: sign(raw)))
def test_no_text_whatever_ends_otherwise_than_as_a_refusal(text: str) -> None:
    """Garbage in is 401 out."""
    assert refusal(text)


def library_takes(text: str) -> bool:
    """Whether PyJWT finds the signature right: the slow reference to our own reading."""
    try:
        jwt.api_jws.PyJWS(algorithms=["HS256"]).decode_complete(text, SECRET, algorithms=["HS256"])
    except jwt.PyJWTError:
        return False
    return True


@given(st.data())
def test_no_signature_is_believed_that_the_library_does_not_believe(data: st.DataObject) -> None:
    """A right token with some of its characters changed: what we take, PyJWT takes too."""
    text = list(token())
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place] = data.draw(st.sampled_from("ABCXYZabcxyz0189-_."))
    altered = "".join(text)
    reason = None
    try:
        verify(altered, NOW, SETTINGS)
    except Unauthenticated as refused:
        reason = refused.reason
    assert library_takes(altered) or reason is not None
    assert not (library_takes(altered) and reason == "signature")


def claims_of(user: User, **changes: Any) -> Claims:
    settings = changes.pop("settings", SETTINGS)
    return replace(verify(issue(user, NOW, settings).access_token, NOW, settings), **changes)


@pytest.mark.parametrize(
    ("changes", "stands"),
    [
        ({}, True),
        ({"secrets": (OTHER, SECRET)}, True),
        ({"secrets": (OTHER,)}, False),
        ({"issuer": "elsewhere"}, False),
        ({"audience": "elsewhere"}, False),
    ],
)
def test_what_was_verified_stays_so_under_settings_that_would_verify_it(
    changes: dict[str, Any], stands: bool
) -> None:
    """After a reload a token is not looked at again: its secret, its issuer, its audience are."""
    claims = verify(token(), NOW, SETTINGS)
    assert is_under(claims, SETTINGS, replace(SETTINGS, **changes)) is stands


def test_a_token_stands_for_the_user_it_was_issued_to() -> None:
    """The plain case."""
    assert stands_for(claims_of(ALICE), ALICE, SETTINGS)


@pytest.mark.parametrize("name", ["password_changed_at", "tokens_valid_after"])
def test_a_token_without_a_tag_from_before_a_change_stands_for_nobody(name: str) -> None:
    """It does not name the password it was issued for, so the times decide, to the second."""
    claims = claims_of(ALICE, password_tag=None)
    assert stands_for(claims, replace(ALICE, **{name: int(NOW)}), SETTINGS)  # type: ignore[arg-type]
    changed = replace(ALICE, **{name: int(NOW) + 1})  # type: ignore[arg-type]
    assert not stands_for(claims, changed, SETTINGS)


@pytest.mark.parametrize("written_at", [int(NOW) - 5, int(NOW), int(NOW) + 600])
def test_a_token_from_before_a_disabling_stands_for_nobody_and_one_after_it_does(
    written_at: int,
) -> None:
    """Whatever the clock said on the machine that wrote the time."""
    enabled = replace(ALICE, tokens_valid_after=written_at)
    assert not stands_for(claims_of(ALICE), enabled, SETTINGS)
    assert stands_for(claims_of(enabled), enabled, SETTINGS)
    again = replace(ALICE, tokens_valid_after=written_at + 1)
    assert not stands_for(claims_of(enabled), again, SETTINGS)


def test_a_token_of_before_there_were_disabling_times_lives_on() -> None:
    """An account without one has the tag it always had."""
    tag = hmac.digest(SECRET, ALICE.password_hash.encode(), "sha256")[:12].hex()
    assert claims_of(ALICE).password_tag == tag


def test_a_token_of_the_old_password_issued_after_the_change_stands_for_nobody() -> None:
    """A worker that had not reloaded yet may log the old password in; the others refuse it."""
    changed = replace(ALICE, password_hash="$argon2id$new", password_changed_at=int(NOW) - 5)
    assert not stands_for(claims_of(ALICE), changed, SETTINGS)


def test_a_token_does_not_move_with_its_user_to_another_tenant() -> None:
    """Tenant and subject are one name; the claim must be the file's."""
    assert not stands_for(claims_of(ALICE), replace(ALICE, tenant="other"), SETTINGS)


@pytest.mark.parametrize("ahead_s", [20, 3600, 365 * 86400])
@pytest.mark.parametrize("skew_s", [0, 30])
def test_a_login_right_after_a_change_on_a_clock_ahead_gives_a_token_that_works(
    ahead_s: int, skew_s: int
) -> None:
    """The file may have been written on a machine whose clock is ahead of ours, or wrong."""
    settings = replace(SETTINGS, skew_s=skew_s)
    changed = replace(ALICE, password_changed_at=int(NOW) + ahead_s)
    claims = claims_of(changed, settings=settings)
    assert stands_for(claims, changed, settings)
    assert (claims.issued_at, claims.expires_at) == (int(NOW), int(NOW) + SETTINGS.lifetime_s)


def test_the_password_tag_says_nothing_without_the_secret() -> None:
    """It is keyed: a stolen token is no place to try passwords on."""
    assert password_tag(ALICE, SECRET) != password_tag(ALICE, OTHER)
    plain = hashlib.sha256(ALICE.password_hash.encode()).hexdigest()
    assert not plain.startswith(password_tag(ALICE, SECRET))


def test_a_secret_is_read_raw_or_from_base64url() -> None:
    """Both spellings, padded or not."""
    raw = bytes(range(40))
    encoded = base64.urlsafe_b64encode(raw).decode()
    assert parse_secret("x" * 32) == b"x" * 32
    assert parse_secret("base64url:" + encoded) == raw
    assert parse_secret("base64url:" + encoded.rstrip("=")) == raw


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "base64url:",
        "base64url:aHVudGVyMg",
        "base64url:hunter2 hunter2 hunter2 hunter2 hunter2 hunter2",
        "base64url:" + "+/" * 30,
        "-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----",
        '{"kty":"oct","k":"hunter2hunter2hunter2hunter2hunter2"}',
    ],
)
def test_a_bad_secret_is_refused_in_words_that_hold_none_of_it(text: str) -> None:
    """The sentence goes on screens and into logs."""
    with pytest.raises(ValueError, match="expected") as caught:
        parse_secret(text)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "changes",
    [
        {"secrets": ()},
        {"secrets": (SECRET, b"short")},
        {"secrets": (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",)},
        {"lifetime_s": 0},
        {"skew_s": 121},
        {"skew_s": -1},
        {"issuer": ""},
    ],
)
def test_settings_that_cannot_stand_are_refused(changes: dict[str, Any]) -> None:
    """The gateway does not start on them."""
    with pytest.raises(ValueError, match="JWT"):
        replace(SETTINGS, **changes)


def test_settings_never_show_their_secrets() -> None:
    """``repr`` ends in logs and tracebacks."""
    assert "0123456789abcdef" not in repr(SETTINGS)
