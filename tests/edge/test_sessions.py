"""What a session cookie may do, by itself and beside other credentials; how it ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from .browsers import OWN, PUBLIC_URL, SESSION, START, ByHand, signed_in
from .conftest import Gateway, running_gateway
from .doors import DOORS, Door
from .fakes import MemoryRevocations
from .raw import TIMEOUT_S, request
from .scripted_provider import ScriptedProvider, scripted_provider
from .sockets import PATH, UPGRADE
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk
from .test_browser_sign_in import assert_refused, replica, settings
from .test_doors import asked
from .test_query import terminal

ME, LOGOUT, QUERY = "/api/v1/auth/me", "/api/v1/auth/logout", "/api/v1/query"
QUESTION = b'{"query": "hi"}'
CHECKOUT = Path(__file__).parents[2]
TYPED = {"Content_Type": "application/json"}


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedProvider]:
    async with scripted_provider() as running:
        yield running


@pytest.fixture
async def gateway(core: StubCore, provider: ScriptedProvider) -> AsyncIterator[Gateway]:
    async with replica(core, provider) as running:
        yield running


# --- whose page it is -----------------------------------------------------------------------------


async def test_a_page_of_its_own_asks_with_the_cookie_alone(
    gateway: Gateway, core: StubCore, provider: ScriptedProvider
) -> None:
    core.sends(STREAM_HEAD, chunk(META), chunk(DONE), END)
    browser = await signed_in(gateway, provider)
    answer = await browser.post(gateway, QUERY, QUESTION, **TYPED)
    assert answer.status == 200
    assert b"event: done" in answer.body


FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "https://evil.kb.example.com"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "cross-site"},
    {"X_CSRF_Protection": ""},
    {"X_CSRF_Protection": "yes"},
]


@pytest.mark.parametrize("changes", FOREIGN, ids=str)
async def test_another_origins_page_writes_nothing_with_it(
    gateway: Gateway, core: StubCore, provider: ScriptedProvider, changes: dict[str, str]
) -> None:
    """Whatever the browser sends along; nothing is asked, made or ended."""
    browser = await signed_in(gateway, provider)
    for path, body, typed in (
        (QUERY, QUESTION, TYPED),
        (f"{LOGOUT}?all=true", None, {}),
        ("/api/v1/keys", b'{"name":"k","scopes":["query:run"]}', TYPED),
        ("/mcp", b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', TYPED),
    ):
        assert_refused(
            await browser.post(gateway, path, body, **{**typed, **changes}), 403, "FORBIDDEN"
        )
    own = {name.replace("-", "_"): text for name, text in OWN.items()}
    document = "/api/v1/documents/019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
    answer = await browser.send(gateway, "DELETE", document, **{**own, **changes})
    assert_refused(answer, 403, "FORBIDDEN")
    assert not [head for head in core.heads if not head.startswith("GET /healthz")]
    assert (await browser.me(gateway))["auth_method"] == "session"


async def test_a_token_needs_none_of_it(gateway: Gateway, core: StubCore) -> None:
    """Nobody's browser sends one by itself."""
    core.sends(STREAM_HEAD, chunk(META), chunk(DONE), END)
    streaming = await gateway.asking(Origin="https://evil.example")
    assert streaming.status == 200
    streaming.writer.close()


async def test_a_socket_of_its_own_page_is_signed_in_by_it(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    """A browser opens one for any page: only ``Origin`` tells whose it is."""
    browser = await signed_in(gateway, provider)
    cookie = {"Cookie": f"{SESSION}={browser.cookies[SESSION]}"}
    for origin, status in (
        (PUBLIC_URL, 101),
        ("https://evil.example", 403),
        ("https://evil.kb.example.com", 403),
        (None, 403),
    ):
        headers = {**cookie, **({} if origin is None else {"Origin": origin})}
        assert await upgraded(gateway, headers) == status, origin


async def test_a_page_of_its_own_may_open_a_socket_without_it(gateway: Gateway) -> None:
    """Its credential comes in a message, as that of listed pages."""
    assert await upgraded(gateway, {"Origin": PUBLIC_URL}) == 101


async def upgraded(gateway: Gateway, headers: dict[str, str]) -> int:
    """The status with which an upgrade is answered."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(request("GET", PATH, {**UPGRADE, **headers}))
    async with asyncio.timeout(TIMEOUT_S):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    return int(head.split(b" ", 2)[1])


@pytest.mark.parametrize("door", [door for name, door in DOORS.items() if name != "grpc"])
async def test_each_door_takes_a_session_of_its_own_pages_and_of_no_others(
    door: Door, gateway: Gateway, core: StubCore, provider: ScriptedProvider
) -> None:
    """What a page may do with a token it may do with a session; gRPC is no browser's."""
    browser = await signed_in(gateway, provider)
    cookie = {"Cookie": f"{SESSION}={browser.cookies[SESSION]}"}
    core.sends(STREAM_HEAD, chunk(META), chunk(DONE), END)
    told = await asked(door, gateway, {**cookie, **OWN})
    assert told.ends == "done"
    foreign = {**cookie, **OWN, "Origin": "https://evil.example"}
    told = await asked(door, gateway, foreign)
    assert (told.ends, told.events) == ("FORBIDDEN", [])


# --- beside others --------------------------------------------------------------------------------


async def test_a_cookie_beside_another_credential_is_ambiguous(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    """A header, a key, a second cookie of the name, a subprotocol; also where both are good."""
    browser = await signed_in(gateway, provider)
    token = (await gateway.bearer())["Authorization"]
    ambiguous = (401, "AMBIGUOUS_CREDENTIALS")
    assert_refused(await browser.get(gateway, ME, Authorization=token), *ambiguous)
    assert_refused(await browser.get(gateway, ME, X_API_Key="kbg_nonsense"), *ambiguous)
    assert_refused(await browser.post(gateway, LOGOUT, Authorization=token), *ambiguous)
    twice = ByHand({SESSION: f"{browser.cookies[SESSION]}; {SESSION}={browser.cookies[SESSION]}"})
    assert_refused(await twice.get(gateway, ME), *ambiguous)
    protocols = {**UPGRADE, "Sec-WebSocket-Protocol": "kbg.v1, kbg.bearer.nonsense"}
    socket = {name.replace("-", "_"): text for name, text in protocols.items()}
    assert_refused(await browser.get(gateway, PATH, Origin=PUBLIC_URL, **socket), *ambiguous)


async def test_a_cookies_text_is_no_token_and_a_token_no_cookie(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    """Neither passes as the other, once it was seen and is kept, either."""
    browser = await signed_in(gateway, provider)
    await browser.me(gateway)
    bearer = {"Authorization": f"Bearer {browser.cookies[SESSION]}"}
    assert (await gateway.client.get(ME, headers=bearer)).status_code == 401
    token = await gateway.token()
    assert (await gateway.client.get(ME, headers={"Authorization": f"Bearer {token}"})).is_success
    assert_refused(await ByHand({SESSION: token}).get(gateway, ME))


@pytest.mark.parametrize("text", ["", "nonsense", "A" * 3000, "%00", '"quoted"'])
async def test_a_cookie_of_nonsense_is_refused_and_dropped(gateway: Gateway, text: str) -> None:
    browser = ByHand({SESSION: text})
    assert_refused(await browser.get(gateway, ME))
    assert browser.cookies == {}


async def test_over_http_only_the_plain_name_counts(
    core: StubCore, provider: ScriptedProvider
) -> None:
    """As browsers keep no ``__Host-`` cookie there; and over HTTPS only the other one."""
    async with replica(core, provider) as secure:
        session = (await signed_in(secure, provider)).cookies[SESSION]
        assert_refused(await ByHand({"kbg-session": session}).get(secure, ME))
    async with replica(core, provider, PUBLIC_URL="http://127.0.0.1:8080") as plain:
        browser = ByHand({"kbg-session": session})
        assert (await browser.me(plain))["auth_method"] == "session"
        assert_refused(await ByHand({SESSION: session}).get(plain, ME))


async def test_public_routes_mind_no_cookie(gateway: Gateway) -> None:
    browser = ByHand({SESSION: "nonsense"})
    assert (await browser.get(gateway, "/healthz")).status == 200
    assert (await browser.get(gateway, START)).status == 302


# --- its end --------------------------------------------------------------------------------------


async def test_signing_out_ends_the_session_and_the_token_behind_it(
    core: StubCore, provider: ScriptedProvider
) -> None:
    """At every replica; a second session of the same person goes on."""
    kept = MemoryRevocations()
    chosen = settings(provider)
    async with (
        running_gateway(core, revocations=kept, **chosen) as here,
        running_gateway(core, revocations=kept, **chosen) as there,
    ):
        browser = await signed_in(here, provider)
        id_token = {"Authorization": f"Bearer {provider.issued[-1]}"}
        # Another token of the same second would be the same token but for its nonce.
        other = await signed_in(there, provider)
        assert (await here.client.get(ME, headers=id_token)).is_success
        thief = ByHand(dict(browser.cookies))
        answer = await browser.post(here, LOGOUT)
        assert (answer.status, answer.body, browser.cookies) == (204, b"", {})
        assert_refused(await ByHand(dict(thief.cookies)).get(here, ME))
        assert (await here.client.get(ME, headers=id_token)).status_code == 401
        there.clock.now += 10
        while (await ByHand(dict(thief.cookies)).get(there, ME)).status != 401:
            pass
        await other.me(here)
        await other.me(there)


async def test_signing_out_everywhere_ends_all_sessions_and_none_that_begins_after(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    """In the same second, and whatever the provider's clock says."""
    provider.now += 20
    one, other = await signed_in(gateway, provider), await signed_in(gateway, provider)
    assert (await one.post(gateway, f"{LOGOUT}?all=true")).status == 204
    assert_refused(await other.get(gateway, ME))
    provider.now -= 40
    again = await signed_in(gateway, provider)
    await again.me(gateway)


async def test_a_stream_ends_with_the_session_that_asked(
    gateway: Gateway, core: StubCore, provider: ScriptedProvider
) -> None:
    core.holds(STREAM_HEAD, chunk(META))
    browser = await signed_in(gateway, provider)
    cookie = {"Cookie": f"{SESSION}={browser.cookies[SESSION]}"}
    streaming = await gateway.asking(credential={**cookie, **OWN})
    assert streaming.status == 200
    await browser.post(gateway, LOGOUT)
    assert terminal(await streaming.rest())["code"] == "CREDENTIAL_REVOKED"
    streaming.writer.close()


async def test_the_users_file_has_the_last_word(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    """Whom it disables has no session any more, and gets none."""
    browser = await signed_in(gateway, provider)
    subject = (await browser.me(gateway))["subject"]
    entry = replace(gateway.users.users["bob"], subject=subject, tenant="", disabled=True)
    gateway.users.users[subject] = entry
    gateway.users.revision += 1
    assert_refused(await browser.get(gateway, ME))
    assert SESSION not in browser.cookies
    assert_refused(await ByHand().sign_in(gateway, provider))


# --- off ------------------------------------------------------------------------------------------


async def test_where_it_is_off_there_is_nothing_of_it(core: StubCore) -> None:
    """No route, no line in the document, and a cookie is no credential and no second one."""
    async with running_gateway(core, PUBLIC_URL=PUBLIC_URL) as gateway:
        browser = ByHand({SESSION: "anything", "kbg-session": "anything"})
        assert_refused(await browser.get(gateway, START), 404, "NOT_FOUND")
        answer = await browser.get(gateway, ME)
        assert_refused(answer)
        assert browser.set == {}
        token = (await gateway.bearer())["Authorization"]
        assert (await browser.get(gateway, ME, Authorization=token)).status == 200
        document: dict[str, Any] = (await gateway.client.get("/openapi.json")).json()
        assert START not in document["paths"]
        assert document["components"]["securitySchemes"].keys() == {"bearer", "api_key"}


def test_where_it_is_off_nothing_of_it_is_loaded() -> None:
    """Neither cryptography nor our own part: a worker has no memory for what others do not use."""
    script = (
        f"import sys; sys.path.append({str(CHECKOUT)!r}); from gateway import app;"
        "from tests.unit import valid_settings; settings = valid_settings.load();"
        "app.import_for(settings); app.create_app(settings, name='small');"
        "print([one for one in sys.modules if one in ('cryptography', 'blueprints.sign_in')"
        " or one.startswith('gateway.flows') and 'sign_in' in one])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
