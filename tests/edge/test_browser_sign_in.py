"""Signing in with a browser, at a provider that does what the tests say."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import schemathesis

from gateway.domain.code_flow import SIGN_IN_S
from gateway.domain.cookies import SIGN_INS_LIMIT
from gateway.flows.browser_sign_in import BrowserSignIn
from gateway.settings import Settings

from .browsers import CALLBACK, OWN, PUBLIC_URL, SESSION, START, ByHand, signed_in
from .conftest import ENVIRONMENT, Gateway, running_gateway
from .raw import Answer, assert_error_shape
from .scripted_provider import CLIENT_ID, CLIENT_SECRET, ScriptedProvider, scripted_provider
from .stub_core import META, STREAM_HEAD, StubCore, chunk
from .test_logs import Lines, lines, uncached

__all__ = ["lines", "uncached"]

SECRET = ENVIRONMENT["GATEWAY_JWT_SECRET"]
OTHER_SECRET = "another secret of thirty-two bytes and more"


def settings(provider: ScriptedProvider, **more: str) -> dict[str, str]:
    return {
        "PUBLIC_URL": PUBLIC_URL,
        "OIDC_ISSUER": provider.issuer,
        "OIDC_AUDIENCE": CLIENT_ID,
        "OIDC_TENANT": "acme",
        "OIDC_ROLES_CLAIM": "groups",
        "OIDC_ROLES": "kb-editors editor",
        "OIDC_CLIENT_ID": CLIENT_ID,
        "OIDC_CLIENT_SECRET": CLIENT_SECRET,
        # What a busy machine does to a clock is no subject of these tests.
        "OIDC_EXCHANGE_TIMEOUT": "30s",
        **more,
    }


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedProvider]:
    async with scripted_provider() as running:
        yield running


@contextlib.asynccontextmanager
async def replica(
    core: StubCore, provider: ScriptedProvider, **more: Any
) -> AsyncIterator[Gateway]:
    async with running_gateway(core, **settings(provider, **more)) as running:
        yield running


@pytest.fixture
async def gateway(core: StubCore, provider: ScriptedProvider) -> AsyncIterator[Gateway]:
    async with replica(core, provider) as running:
        yield running


def assert_refused(answer: Answer, status: int = 401, code: str = "UNAUTHENTICATED") -> None:
    assert (answer.status, answer.code) == (status, code), answer.body
    assert_error_shape(answer)


# --- the way through ------------------------------------------------------------------------------


async def test_a_sign_in_that_one_replica_began_another_finishes(
    core: StubCore, provider: ScriptedProvider
) -> None:
    """They share the secret and nothing else; the session is good at both."""
    async with replica(core, provider) as here, replica(core, provider) as there:
        browser = ByHand()
        location = await browser.begin(here, "/console?tab=1")
        asked = parse_qs(urlsplit(location).query)
        assert asked["redirect_uri"] == [f"{PUBLIC_URL}{CALLBACK}"]
        answer = await browser.get(there, f"{CALLBACK}?{provider.signs_in(location)}")
        assert answer.status == 302, answer.body
        assert answer.header("location") == f"{PUBLIC_URL}/console?tab=1"
        told = [await browser.me(one) for one in (here, there)]
    assert told[0] == told[1]
    assert told[0]["subject"].startswith("oidc-")
    assert (told[0]["tenant"], told[0]["roles"]) == ("acme", ["editor"])
    assert (told[0]["auth_method"], told[0]["scopes"]) == ("session", None)
    assert browser.cookies.keys() == {SESSION}
    assert provider.forms[0]["authorization"].startswith("Basic ")


async def test_the_session_cookie_is_as_closed_as_can_be(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    """For this host, no script, no other site's page, as long as the token, and short."""
    browser = await signed_in(gateway, provider)
    pair, *attributes = browser.set[SESSION].split("; ")
    assert attributes == ["Path=/", "Max-Age=3600", "Secure", "HttpOnly", "SameSite=Lax"]
    assert len(browser.set[SESSION]) < 4096
    for secret in ("Jane", "acme", "editor", "oidc-"):
        assert secret not in pair


async def test_a_session_ends_with_its_token(gateway: Gateway, provider: ScriptedProvider) -> None:
    """To the second; the browser is told to drop it."""
    browser = await signed_in(gateway, provider)
    gateway.clock.now += 3599
    await browser.me(gateway)
    gateway.clock.now += 1
    answer = await browser.get(gateway, "/api/v1/auth/me")
    assert_refused(answer, 401, "TOKEN_EXPIRED")
    assert browser.cookies == {}


async def test_it_goes_on_while_the_provider_is_away(
    core: StubCore, provider: ScriptedProvider
) -> None:
    """At a replica that has never heard of the provider's keys, too."""
    async with replica(core, provider) as here:
        browser = await signed_in(here, provider)
    async with scripted_provider() as gone:
        pass
    gone.issuer = provider.issuer
    more = {"OIDC_ISSUER": provider.issuer}
    provider.metadata = {"issuer": "https://nobody.example"}
    async with running_gateway(core, **settings(gone, **more)) as fresh:
        await browser.me(fresh)


async def test_where_nobody_said_where_to_return_one_sees_who_one_is(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    browser = ByHand()
    answer = await browser.get(gateway, START)
    query = provider.signs_in(answer.header("location") or "")
    answer = await browser.get(gateway, f"{CALLBACK}?{query}&session_state=1&scope=openid")
    assert answer.header("location") == f"{PUBLIC_URL}/api/v1/auth/me"


async def test_tabs_that_begin_at_once_do_not_disturb_each_other(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    """Up to a limit; of more, the oldest make room."""
    browser = ByHand()
    locations = [await browser.begin(gateway) for _ in range(SIGN_INS_LIMIT + 2)]
    assert len(browser.pending) == SIGN_INS_LIMIT
    for location in locations[:2]:
        assert_refused(await browser.get(gateway, f"{CALLBACK}?{provider.signs_in(location)}"))
    for location in locations[2:]:
        answer = await browser.get(gateway, f"{CALLBACK}?{provider.signs_in(location)}")
        assert answer.status == 302
    assert browser.pending == []


async def test_below_a_path_of_its_host_one_ends_at_the_gateway_too(
    core: StubCore, provider: ScriptedProvider
) -> None:
    """Behind a proxy that takes the path away."""
    browser = ByHand()
    async with replica(core, provider, PUBLIC_URL=f"{PUBLIC_URL}/kb/") as below:
        answer = await browser.get(below, START)
        query = provider.signs_in(answer.header("location") or "")
        answer = await browser.get(below, f"{CALLBACK}?{query}")
    assert answer.header("location") == f"{PUBLIC_URL}/kb/api/v1/auth/me"
    assert provider.forms[0]["redirect_uri"] == f"{PUBLIC_URL}/kb{CALLBACK}"


@pytest.mark.parametrize(
    "return_to",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/%09/evil.example", "evil", ""],
)
async def test_nobody_is_sent_elsewhere(
    gateway: Gateway, provider: ScriptedProvider, return_to: str
) -> None:
    """Refused before anything begins."""
    browser = ByHand()
    answer = await browser.get(gateway, f"{START}?return_to={quote(return_to, safe='%')}")
    assert_refused(answer, 400, "VALIDATION_ERROR")
    assert browser.set == {}


# --- what is refused ------------------------------------------------------------------------------


async def test_an_answer_that_was_planted_finds_no_sign_in(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    """Another browser's, which would sign somebody in as the attacker; and a made-up one."""
    location = await ByHand().begin(gateway)
    victim = ByHand()
    await victim.begin(gateway)
    assert_refused(await victim.get(gateway, f"{CALLBACK}?{provider.signs_in(location)}"))
    assert_refused(await victim.get(gateway, f"{CALLBACK}?{urlencode({'code': 'x'})}"))
    assert_refused(await victim.get(gateway, CALLBACK))
    assert provider.asked["/token"] == 0
    assert SESSION not in victim.cookies


@pytest.mark.parametrize("change", ["a bit", "another's", "empty", "a session"])
async def test_a_cookie_that_was_changed_is_none(
    gateway: Gateway, provider: ScriptedProvider, change: str
) -> None:
    browser = ByHand()
    location = await browser.begin(gateway)
    (name,) = browser.pending
    kept = browser.cookies[name]
    other = ByHand()
    await other.begin(gateway)
    session = (await signed_in(gateway, provider)).cookies[SESSION]
    browser.cookies[name] = {
        "a bit": kept[:-5] + ("A" if kept[-5] != "A" else "B") + kept[-4:],
        "another's": other.cookies[other.pending[0]],
        "empty": "",
        "a session": session,
    }[change]
    asked = provider.asked["/token"]
    assert_refused(await browser.get(gateway, f"{CALLBACK}?{provider.signs_in(location)}"))
    assert provider.asked["/token"] == asked
    assert browser.cookies == {}


async def test_an_answer_is_good_once(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Sent again with the cookie that was kept in spite of the gateway: the code is used up."""
    browser = ByHand()
    location = await browser.begin(gateway)
    thief = ByHand(dict(browser.cookies))
    query = provider.signs_in(location)
    assert (await browser.get(gateway, f"{CALLBACK}?{query}")).status == 302
    assert_refused(await browser.get(gateway, f"{CALLBACK}?{query}"))
    assert_refused(await thief.get(gateway, f"{CALLBACK}?{query}"))
    assert SESSION not in thief.cookies


async def test_a_stolen_code_is_of_no_use_in_another_sign_in(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    """PKCE: the code belongs to the verifier of the sign-in that it was made for."""
    code = provider.grant(await ByHand().begin(gateway))
    thief = ByHand()
    answer = await thief.sign_in(gateway, provider, code=code)
    assert_refused(answer)
    assert provider.asked["/token"] == 1


@pytest.mark.parametrize("nonce", [None, "", "another", 7])
async def test_a_token_that_was_made_for_another_sign_in_is_refused(
    gateway: Gateway, provider: ScriptedProvider, nonce: object
) -> None:
    provider.claims = {"nonce": nonce}
    browser = ByHand()
    assert_refused(await browser.sign_in(gateway, provider))
    assert browser.cookies == {}


async def test_a_sign_in_has_ten_minutes(gateway: Gateway, provider: ScriptedProvider) -> None:
    browser = ByHand()
    query = provider.signs_in(await browser.begin(gateway))
    gateway.clock.now += SIGN_IN_S
    assert_refused(await browser.get(gateway, f"{CALLBACK}?{query}"))


async def test_a_replica_with_another_secret_knows_nothing(
    core: StubCore, provider: ScriptedProvider
) -> None:
    """Until it is told the old one: that is how the secret is rotated."""
    async with replica(core, provider) as here:
        browser = await signed_in(here, provider)
        location = await browser.begin(here)
    kept = dict(browser.cookies)
    query = provider.signs_in(location)
    async with replica(core, provider, JWT_SECRET=OTHER_SECRET) as other:
        assert_refused(await ByHand(dict(kept)).get(other, f"{CALLBACK}?{query}"))
        assert_refused(await ByHand(dict(kept)).get(other, "/api/v1/auth/me"))
    rotated = {"JWT_SECRET": OTHER_SECRET, "JWT_SECRET_PREVIOUS": SECRET}
    async with replica(core, provider, **rotated) as after:
        browser = ByHand(dict(kept))
        await browser.me(after)
        assert (await browser.get(after, f"{CALLBACK}?{query}")).status == 302
        await browser.me(after)


async def test_two_issuers_are_not_mixed_up(core: StubCore, provider: ScriptedProvider) -> None:
    """An answer of another provider is refused before its code is sent anywhere, and a cookie of a
    gateway for one issuer is nothing at a gateway for another."""
    async with scripted_provider() as evil, replica(core, provider) as gateway:
        for iss in (evil.issuer, None, ""):
            assert_refused(await ByHand().sign_in(gateway, provider, iss=iss))
        assert (provider.asked["/token"], evil.asked["/token"]) == (0, 0)
        browser = await signed_in(gateway, provider)
        location = await browser.begin(gateway)
        async with replica(core, evil) as other:
            kept = ByHand(dict(browser.cookies))
            assert_refused(await kept.get(other, "/api/v1/auth/me"))
            kept = ByHand(dict(browser.cookies))
            query = provider.signs_in(location, iss=evil.issuer)
            assert_refused(await kept.get(other, f"{CALLBACK}?{query}"))
        assert evil.asked["/token"] == 0


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://evil.example"}, "issuer"),
        ({"aud": "another-client"}, "audience"),
        ({"aud": [CLIENT_ID, "another-client"]}, "client"),
        ({"azp": "another-client"}, "client"),
        ({"exp": 1_799_999_999}, "expired"),
        ({"iat": 1_800_001_000}, "not_yet_valid"),
        ({"sub": ""}, "claim_sub"),
    ],
)
async def test_an_id_token_is_held_against_every_rule(
    gateway: Gateway,
    provider: ScriptedProvider,
    claims: dict[str, Any],
    reason: str,
) -> None:
    provider.claims = claims
    browser = ByHand()
    answer = await browser.sign_in(gateway, provider)
    assert answer.status == 401, reason
    assert browser.cookies == {}


@pytest.mark.parametrize(
    ("error", "status", "code", "shown"),
    [
        ("access_denied", 401, "UNAUTHENTICATED", True),
        ("login_required", 401, "UNAUTHENTICATED", True),
        ("<script>alert(1)</script>", 401, "UNAUTHENTICATED", False),
        ("server_error", 503, "SIGN_IN_UNAVAILABLE", False),
        ("temporarily_unavailable", 503, "SIGN_IN_UNAVAILABLE", False),
    ],
)
async def test_what_the_provider_says_instead_of_a_code(
    gateway: Gateway, provider: ScriptedProvider, error: str, status: int, code: str, shown: bool
) -> None:
    """Told in the one error shape; nothing that it describes, or anybody wrote there, is shown."""
    said = {"error": error, "error_description": "call +1 555", "code": None}
    answer = await ByHand().sign_in(gateway, provider, **said)
    assert_refused(answer, status, code)
    assert (error.encode() in answer.body) is shown
    assert b"555" not in answer.body
    assert provider.asked["/token"] == 0


@pytest.mark.parametrize(
    "token_answer", [(500, b"{}"), (401, b'{"error":"invalid_client"}'), (200, b"{}"), (200, b"<")]
)
async def test_a_fault_at_the_token_endpoint_leaves_the_sign_in_open(
    gateway: Gateway, provider: ScriptedProvider, token_answer: tuple[int, bytes]
) -> None:
    """503, and when the page is asked for again it works."""
    browser = ByHand()
    query = provider.signs_in(await browser.begin(gateway))
    provider.token_answer = token_answer
    answer = await browser.get(gateway, f"{CALLBACK}?{query}")
    assert_refused(answer, 503, "SIGN_IN_UNAVAILABLE")
    assert answer.header("retry-after")
    provider.token_answer = None
    assert (await browser.get(gateway, f"{CALLBACK}?{query}")).status == 302


async def test_a_token_endpoint_that_hangs_is_not_waited_for(
    core: StubCore, provider: ScriptedProvider
) -> None:
    provider.hangs = True
    async with replica(core, provider, OIDC_EXCHANGE_TIMEOUT="100ms") as gateway:
        answer = await ByHand().sign_in(gateway, provider)
        assert_refused(answer, 503, "SIGN_IN_UNAVAILABLE")


async def test_a_provider_that_is_away_is_told_before_anybody_is_sent_there(
    core: StubCore, provider: ScriptedProvider
) -> None:
    """And asked again when a moment has passed; once, for all who begin meanwhile."""
    provider.metadata = {"authorization_endpoint": "http://evil.example/auth"}
    async with replica(core, provider) as gateway:
        before = provider.asked["/.well-known/openid-configuration"]
        for _ in range(3):
            assert_refused(await ByHand().get(gateway, START), 503, "SIGN_IN_UNAVAILABLE")
        assert provider.asked["/.well-known/openid-configuration"] <= before + 2
        provider.metadata = {}
        gateway.clock.now += 10
        assert (await ByHand().get(gateway, START)).status == 302


async def test_more_roles_than_a_cookie_holds_are_told(
    core: StubCore, provider: ScriptedProvider
) -> None:
    """No cookie is set that a browser would drop in silence."""
    names = [f"r{'x' * 24}{'abcdefghij'[n // 10]}{'abcdefghij'[n % 10]}" for n in range(100)]
    provider.claims = {"groups": names}
    roles = ";".join(f"{name} {name}" for name in names)
    async with replica(core, provider, OIDC_ROLES=roles) as gateway:
        browser = ByHand()
        assert_refused(await browser.sign_in(gateway, provider), 403, "FORBIDDEN")
        assert SESSION not in browser.cookies


# --- what is told ---------------------------------------------------------------------------------


async def test_the_document_tells_of_the_routes_and_the_cookie(gateway: Gateway) -> None:
    """Only where they are there; it is valid OpenAPI."""
    document = (await gateway.client.get("/openapi.json")).json()
    schemathesis.openapi.from_dict(document).validate()
    assert {START, CALLBACK} <= document["paths"].keys()
    scheme = document["components"]["securitySchemes"]["session"]
    assert (scheme["in"], scheme["name"]) == ("cookie", SESSION)
    assert {"session": []} in document["paths"]["/api/v1/query"]["post"]["security"]
    assert document["paths"][START]["get"]["security"] == []


async def test_the_log_and_the_metrics_tell_of_a_sign_in(
    gateway: Gateway, provider: ScriptedProvider, lines: Lines
) -> None:
    """Who, with which token, or why not; and neither code nor state, nor a cookie."""
    browser = ByHand()
    query = provider.signs_in(await browser.begin(gateway))
    cookies = dict(browser.cookies)
    await browser.get(gateway, f"{CALLBACK}?{query}", X_Request_ID="in")
    await browser.get(gateway, f"{CALLBACK}?{query}", X_Request_ID="again")
    await browser.get(gateway, "/api/v1/auth/me", X_Request_ID="used")
    let_in, again = await lines.request("in"), await lines.request("again")
    used = await lines.request("used")
    assert (let_in["auth"], let_in["tenant"]) == ("oidc", "acme")
    assert let_in["principal"] == used["principal"]
    assert let_in["credential_id"] == used["credential_id"]
    assert used["auth"] == "session"
    assert (again["status"], again["auth_reason"]) == (401, "sign_in_state")
    for secret in (*parse_qs(query)["code"], *parse_qs(query)["state"], *cookies.values()):
        assert secret not in lines.text
    assert browser.cookies[SESSION] not in lines.text
    assert CLIENT_SECRET not in lines.text
    outcomes = gateway.application.sanic.ctx.gateway.provided[BrowserSignIn].outcomes
    assert outcomes == {"ok": 1, "refused": 1}


async def test_a_reload_keeps_sessions_unless_claims_are_read_otherwise(
    core: StubCore, provider: ScriptedProvider
) -> None:
    """A new secret beside the old one changes nothing; another reading of roles ends them."""
    async with replica(core, provider) as gateway:
        browser = await signed_in(gateway, provider)
        chosen = {**settings(provider), "SERVICES_CORE": core.url}
        rotated = {**chosen, "JWT_SECRET": OTHER_SECRET, "JWT_SECRET_PREVIOUS": SECRET}
        await reload(gateway, rotated)
        await browser.me(gateway)
        await reload(gateway, {**rotated, "OIDC_ROLES": "kb-editors reader"})
        assert_refused(await browser.get(gateway, "/api/v1/auth/me"))
        again = await signed_in(gateway, provider)
        assert (await again.me(gateway))["roles"] == ["reader"]


async def test_a_secret_that_is_retired_ends_the_streams_of_its_sessions(
    core: StubCore, provider: ScriptedProvider
) -> None:
    """Whoever has a secret that leaked can make sessions: none goes on once it is gone."""
    async with replica(core, provider) as gateway:
        browser = await signed_in(gateway, provider)
        core.holds(STREAM_HEAD, chunk(META))
        cookie = f"{SESSION}={browser.cookies[SESSION]}"
        stream = await gateway.asking(credential={"Cookie": cookie, **OWN})
        chosen = {**settings(provider), "SERVICES_CORE": core.url}
        await reload(gateway, {**chosen, "JWT_SECRET": OTHER_SECRET})
        assert b"CREDENTIAL_REVOKED" in await stream.rest()
        stream.writer.close()
        assert_refused(await browser.get(gateway, "/api/v1/auth/me"))


async def reload(gateway: Gateway, chosen: dict[str, str]) -> None:
    environ = {**ENVIRONMENT, **{f"GATEWAY_{name}": text for name, text in chosen.items()}}
    await gateway.application.lifecycle.reload(Settings.load(environ))
