"""Which answers of the provider give a code, and where one may return to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.code_flow import (
    RETURN_TO_LIMIT_CHARS,
    SIGN_IN_S,
    Answer,
    Begun,
    Client,
    authorization_url,
    begin,
    belonging,
    challenge,
    check_nonce,
    checked_path,
    code_of,
)
from gateway.errors import SignInFailed, SignInUnavailable, ValidationFailed

NOW = 1_800_000_000.0
ISSUER = "https://login.example.com"
CLIENT = Client(ISSUER, "kb", "https://kb.example.com", "openid profile")
ELSEWHERE = [
    *(
        "",
        "console",
        "https://evil.example",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
    ),
    *("\\/evil.example", "/\t/evil.example", "/\n/evil.example", "/ok\r\nSet-Cookie: a=b", " /ok"),
    *("javascript:alert(1)", "data:text/html,x", "/\\\\evil.example", "/a b", "/ü", "/\0", "@evil"),
    "/" + "x" * RETURN_TO_LIMIT_CHARS,
]


@dataclass
class World:
    """A sign-in under way, and the answer that finishes it."""

    begun: Begun
    answer: Answer
    now: float = NOW + 5
    names_issuer: bool = True

    def code(self, begun: Begun | None = None, **changes: object) -> str:
        answer = msgspec.structs.replace(self.answer, **changes)
        belonging(answer, [begun or self.begun], self.now)
        return code_of(answer, issuer=ISSUER, names_issuer=self.names_issuer)


@pytest.fixture
def world() -> World:
    begun = begin("/console", NOW)
    return World(begun, Answer(state=begun.state, code="a-code", iss=ISSUER))


def refused(world: World, reason: str, begun: Begun | None = None, **changes: object) -> None:
    with pytest.raises(SignInFailed) as caught:
        world.code(begun, **changes)
    assert caught.value.reason == reason


@pytest.mark.parametrize("text", ELSEWHERE)
def test_no_return_leads_elsewhere(text: str) -> None:
    """Whatever a browser makes of it: other origins, other schemes, what it strips and converts."""
    with pytest.raises(ValidationFailed):
        checked_path(text)


@given(st.text(alphabet=st.sampled_from("/\\.:@?#%&;=a0-~ \t\n\r\u2028ü"), max_size=20))
def test_a_path_that_is_taken_stays_at_its_origin(text: str) -> None:
    """By another reading than ours: behind an origin it is a path and nothing of an authority."""
    try:
        path = checked_path(text)
    except ValidationFailed:
        return
    assert path == text
    assert urlsplit(f"https://kb.example.com{path}").netloc == "kb.example.com"
    assert urlsplit(path)[:2] == ("", "")
    assert not set(text) & set("\\ \t\r\n")


def test_what_the_provider_is_told_is_what_the_standards_want() -> None:
    """The verifier stays here: only its digest goes out."""
    begun = begin("/console", NOW)
    endpoint = "https://login.example.com/auth?tenant=a"
    url = authorization_url(endpoint, CLIENT, begun, "/back")
    told = parse_qs(urlsplit(url).query, strict_parsing=True)
    assert told == {
        "tenant": ["a"],
        "response_type": ["code"],
        "client_id": ["kb"],
        "redirect_uri": ["https://kb.example.com/back"],
        "scope": ["openid profile"],
        "state": [begun.state],
        "nonce": [begun.nonce],
        "code_challenge": [challenge(begun.verifier)],
        "code_challenge_method": ["S256"],
    }
    assert begun.verifier not in url


def test_the_challenge_is_that_of_the_standard() -> None:
    """RFC 7636, appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_each_sign_in_has_values_of_its_own() -> None:
    """256 bits each, none made of another, and none shown when it is printed."""
    one, other = begin("/", NOW), begin("/", NOW)
    values = [
        value for begun in (one, other) for value in (begun.state, begun.nonce, begun.verifier)
    ]
    assert len(set(values)) == 6
    assert all(len(value) == 43 for value in values)
    assert not any(value in repr(one) for value in values)


def test_an_answer_to_its_sign_in_gives_the_code(world: World) -> None:
    assert world.code() == "a-code"


def test_an_answer_without_its_sign_in_is_refused(world: World) -> None:
    """No cookie, another sign-in's, another state, none at all: an answer that was planted."""
    with pytest.raises(SignInFailed):
        belonging(world.answer, [], world.now)
    refused(world, "sign_in_state", begin("/console", NOW))
    refused(world, "sign_in_state", state="")
    refused(world, "sign_in_state", state=world.begun.state[:-1])
    refused(world, "sign_in_state", state="ü")


def test_an_old_sign_in_is_over(world: World) -> None:
    """To the second."""
    world.now = NOW + SIGN_IN_S - 1
    assert world.code() == "a-code"
    world.now = NOW + SIGN_IN_S
    refused(world, "sign_in_late")


def test_another_providers_answer_is_refused(world: World) -> None:
    """RFC 9207: mixed up, or left out by one that always names itself; an error is no exception."""
    refused(world, "sign_in_issuer", iss="https://evil.example")
    refused(world, "sign_in_issuer", iss=ISSUER + "/")
    refused(world, "sign_in_issuer", iss="")
    refused(world, "sign_in_issuer", iss="https://evil.example", error="access_denied")
    world = replace(world, names_issuer=False)
    assert world.code(iss="") == "a-code"
    refused(world, "sign_in_issuer", iss="https://evil.example")


@pytest.mark.parametrize("code", ["", "x" * 5000, "a\0b", "ü", "a\n"])
def test_what_is_no_code_is_sent_nowhere(world: World, code: str) -> None:
    refused(world, "sign_in_code", code=code)


def test_a_refusal_is_told_in_the_standards_words_alone(world: World) -> None:
    """Whatever else a provider, or whoever made the address, writes there is shown to nobody."""
    for error, shown in (("access_denied", True), ("<script>", False), ("call +1 555", False)):
        with pytest.raises(SignInFailed) as caught:
            world.code(error=error)
        assert caught.value.reason == "sign_in_refused"
        assert (error in caught.value.message) is shown


@pytest.mark.parametrize("error", ["server_error", "temporarily_unavailable"])
def test_a_fault_of_the_provider_is_told_as_one(world: World, error: str) -> None:
    with pytest.raises(SignInUnavailable):
        world.code(error=error)


@pytest.mark.parametrize("nonce", [None, "", 1, "another"])
def test_a_token_of_another_sign_in_is_refused(world: World, nonce: object) -> None:
    """A replayed one, too; and one that says nothing."""
    with pytest.raises(SignInFailed):
        check_nonce(nonce, world.begun)
    check_nonce(world.begun.nonce, world.begun)
