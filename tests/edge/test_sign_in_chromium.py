"""A real Chromium signs in, over two replicas behind one origin, and pages of others attack it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority, asking_server
from tests.provider.running import gateways_now, running_provider
from tests.system.browser.chromium import Browser, Page, find_chromium

from .browsers import CALLBACK, SESSION, START
from .conftest import Gateway, running_gateway
from .fakes import MemoryKeys, MemoryRevocations
from .one_origin import OneOrigin, pages_at
from .scripted_provider import scripted_provider
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk
from .test_browser_sign_in import settings

pytestmark = pytest.mark.timeout(300)
WAIT_S = 60.0
ME, LOGOUT = "/api/v1/auth/me", "/api/v1/auth/logout"


@contextlib.asynccontextmanager
async def one_origin(
    core: StubCore, folder: Path, chosen: dict[str, str]
) -> AsyncIterator[tuple[OneOrigin, list[Gateway], Authority]]:
    """Two replicas with one secret and one store, and the origin before them."""
    authority = Authority(folder)
    tls = asking_server(authority.issue("front"))
    front = OneOrigin(socket.create_server(("127.0.0.1", 0)))
    keys, revocations = MemoryKeys(), MemoryRevocations()
    async with contextlib.AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(
                running_gateway(
                    core, keys=keys, revocations=revocations, **{**chosen, "PUBLIC_URL": front.url}
                )
            )
            for _ in range(2)
        ]
        await stack.enter_async_context(front.before([one.address for one in replicas], tls))
        yield front, replicas, authority


@contextlib.asynccontextmanager
async def a_tab() -> AsyncIterator[Page]:
    """With the tests' own certificates believed."""
    async with Browser.started(find_chromium()) as browser, browser.page("about:blank") as page:
        await page.send("Security.setIgnoreCertificateErrors", ignore=True)
        yield page


async def go(page: Page, url: str, lands_at: str | None = None) -> None:
    """Waits until the page is there, whatever it was led through."""
    await page.send("Page.navigate", url=url)
    await arrives(page, lands_at or url)


async def arrives(page: Page, url: str) -> None:
    async def is_there() -> bool:
        with contextlib.suppress(AssertionError):  # between two pages there is none to ask
            told = await page.evaluate("[location.href, document.readyState].join(' ')")
            return bool(told.startswith(url) and told.endswith("complete"))
        return False

    try:
        async with asyncio.timeout(WAIT_S):
            while not await is_there():  # noqa: ASYNC110  # it happens in the browser
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError((await page.evaluate("location.href"), page.requests())) from None


def fetching(path: str, **options: Any) -> str:
    """A script that gives status and body, or how the browser refused to tell."""
    return f"""fetch({json.dumps(path)}, {json.dumps(options)}).then(
        async (answer) => [answer.status, await answer.text()], (error) => [0, String(error)])"""


async def cookies(page: Page) -> dict[str, dict[str, Any]]:
    told = await page.send("Network.getAllCookies")
    return {one["name"]: one for one in told["cookies"]}


SOCKET = """new Promise((resolve) => {{
    const socket = new WebSocket({url!r}, ["kbg.v1"]);
    socket.onopen = () => socket.send(JSON.stringify({{type: "ask", id: "1", query: "hi"}}));
    const told = [];
    socket.onmessage = (message) => {{
        told.push(JSON.parse(message.data).event);
        if (told.at(-1) === "done") resolve(told.join(" "));
    }};
    socket.onclose = (event) => resolve("closed " + event.code);
}})"""


def socket_at(url: str) -> str:
    return SOCKET.format(url=url.replace("https://", "wss://") + "/api/v1/query/ws")


def answering(core: StubCore) -> None:
    core.sends(STREAM_HEAD, chunk(META), chunk(TOKEN), chunk(DONE), END)


# --- other origins' pages -------------------------------------------------------------------------

FORMS = """<form method="post" enctype="text/plain" action="{url}">
<input name='{name}' value='{value}'></form>"""
KEY = ('{"name":"stolen","scopes":["query:run"],"x":"', '"}')

ATTACKS: dict[str, Callable[[str], str]] = {
    "a script, as a form would": lambda url: fetching(
        f"{url}{LOGOUT}?all=true", method="POST", mode="no-cors", credentials="include"
    ),
    "a script with a plain body": lambda url: fetching(
        f"{url}/api/v1/keys", method="POST", mode="no-cors", credentials="include", body=KEY[0]
    ),
    "a script with the header": lambda url: fetching(
        f"{url}{LOGOUT}?all=true",
        method="POST",
        credentials="include",
        headers={"X-CSRF-Protection": "1"},
    ),
    "a script that deletes": lambda url: fetching(
        f"{url}/api/v1/keys/{'a' * 16}", method="DELETE", credentials="include"
    ),
    "a script that reads": lambda url: fetching(f"{url}{ME}", credentials="include"),
}


@pytest.mark.parametrize("site", ["the same", "another"])
async def test_no_page_of_another_origin_uses_the_session(
    core: StubCore, tmp_path: Path, site: str
) -> None:
    """On another port of the host, the same *site* to a browser, which sends the cookie along; and
    on another site. By forms, scripts and sockets."""
    answering(core)
    async with (
        scripted_provider() as provider,
        one_origin(core, tmp_path, settings(provider)) as (front, replicas, authority),
        pages_at(
            FORMS.format(url=f"{front.url}/api/v1/keys", name=KEY[0], value=KEY[1])
            + FORMS.format(url=f"{front.url}{LOGOUT}?all=true", name="a", value="b"),
            asking_server(authority.issue("evil")) if site == "the same" else None,
        ) as evil,
        a_tab() as page,
    ):
        await go(page, f"{front.url}{START}?return_to=/docs", f"{front.url}/docs")
        assert await page.evaluate(socket_at(front.url)) == "meta token done"
        for attack in ATTACKS.values():
            await go(page, evil)
            status, _ = await page.evaluate(attack(front.url))
            assert status == 0, attack
        assert await page.evaluate(socket_at(front.url)) == "closed 1006"
        for form in (0, 1):
            await go(page, evil)
            await page.evaluate(f"document.forms[{form}].submit()")
            await arrives(page, front.url)
        sent = front.heads_of(f"POST {LOGOUT}") + front.heads_of("POST /api/v1/keys")
        assert len(sent) >= 4
        assert all((SESSION in head) is (site == "the same") for head in sent), sent
        await go(page, f"{front.url}/docs")
        status, me = await page.evaluate(fetching(ME))
        assert status == 200, me
        assert replicas[0].keys.records == {}


# --- a console's page -----------------------------------------------------------------------------


async def the_whole_way(front: OneOrigin, page: Page) -> None:
    """What a console does, from a page that was just led back from the provider."""
    kept = await cookies(page)
    session = kept[SESSION]
    assert [session[name] for name in ("secure", "httpOnly", "sameSite", "path")] == [
        *(True, True, "Lax", "/")
    ]
    assert not [name for name in kept if "sign-in" in name]
    assert await page.evaluate("document.cookie") == ""
    status, me = await page.evaluate(fetching(ME))
    assert (status, json.loads(me)["auth_method"]) == (200, "session")
    written = {"method": "POST", "headers": {"X-CSRF-Protection": "1"}}
    typed = {**written["headers"], "Content-Type": "application/json"}
    asking = {**written, "headers": typed, "body": '{"query": "hi"}'}
    status, answer = await page.evaluate(fetching("/api/v1/query", **asking))
    assert (status, "event: done" in answer) == (200, True)
    bare = {**asking, "headers": {"Content-Type": "application/json"}}
    status, answer = await page.evaluate(fetching("/api/v1/query", **bare))
    assert (status, json.loads(answer)["error"]["code"]) == (403, "FORBIDDEN")
    assert await page.evaluate(socket_at(front.url)) == "meta token done"
    with_token = {"headers": {"Authorization": "Bearer nonsense"}}
    status, answer = await page.evaluate(fetching(ME, **with_token))
    assert (status, json.loads(answer)["error"]["code"]) == (401, "AMBIGUOUS_CREDENTIALS")
    status, _ = await page.evaluate(fetching(LOGOUT, **written))
    assert status == 204
    assert SESSION not in await cookies(page)
    status, _ = await page.evaluate(fetching(ME))
    assert status == 401


async def test_people_sign_in_at_a_real_provider_over_two_replicas(
    core: StubCore, tmp_path: Path
) -> None:
    """A form of the provider's, the way back to the other replica, a page at work, the end of the
    session, and a second sign-in without a form."""
    answering(core)
    chosen = {"OIDC_CLIENT_ID": "kb-console", "OIDC_CLIENT_SECRET": "known-to-both-of-them"}
    async with (
        running_provider(tmp_path) as provider,
        one_origin(core, tmp_path, {**provider.settings, **chosen}) as (front, replicas, _),
        a_tab() as page,
    ):
        console = {
            "client_id": chosen["OIDC_CLIENT_ID"],
            "client_secret": chosen["OIDC_CLIENT_SECRET"],
            "redirect_uris": [f"{front.url}{CALLBACK}"],
        }
        await provider.change(clients=[console])
        for replica in replicas:
            replica.clock.now = gateways_now()
        form, docs = f"{provider.issuer}/interaction/", f"{front.url}/docs"
        start = f"{front.url}{START}?return_to=/docs"
        await go(page, start, form)
        await submit(page, "nobody")
        await arrives(page, f"{front.url}{CALLBACK}")
        shown = await page.evaluate("document.body.innerText")
        assert "UNAUTHENTICATED" in shown
        assert "access_denied" in shown
        await go(page, start, form)
        await submit(page, "erin")
        await arrives(page, docs)
        assert front.replicas_of(f"GET {START}")[-1] != front.replicas_of(f"GET {CALLBACK}")[-1]
        await the_whole_way(front, page)
        await go(page, start, docs)
        status, me = await page.evaluate(fetching(ME))
        assert status == 200
        told = json.loads(me)
        assert (told["tenant"], told["roles"], told["name"]) == ("acme", ["editor"], "erin")


async def submit(page: Page, person: str) -> None:
    await page.evaluate(
        f"document.forms[0].person.value = {json.dumps(person)}; document.forms[0].submit()"
    )


async def test_the_console_is_entered_and_left_by_the_companys_sign_in(
    core: StubCore, tmp_path: Path
) -> None:
    """By a button of its sign-in; one comes back to the screen that was asked for, and is out
    once the server says so."""
    async with (
        scripted_provider() as provider,
        one_origin(core, tmp_path, settings(provider)) as (front, replicas, _),
        a_tab() as page,
    ):
        for one in (provider, *(replica.clock for replica in replicas)):
            one.now = time.time()  # type: ignore[attr-defined]
        console, button = f"{front.url}/console", "main a.button.primary"
        await go(page, f"{console}#/usage", f"{console}#/sign-in")
        await until(page, f"document.querySelector({button!r})")
        await page.evaluate(f"document.querySelector({button!r}).click()")
        await arrives(page, f"{console}#/usage")
        await until(page, "document.querySelector('.who')")
        assert await page.evaluate("sessionStorage.getItem('kb.session')") is None
        # Nobody is told that he is signed out while the cookie would sign the next one in.
        await page.send("Network.setBlockedURLs", urls=["*/auth/logout*"])
        await page.evaluate("document.querySelector('.account button').click()")
        await until(page, "document.querySelector('.notice.error')")
        assert await page.evaluate("document.querySelector('.who') !== null")
        assert SESSION in await cookies(page)
        await page.send("Network.setBlockedURLs", urls=[])
        await page.evaluate("document.querySelector('.account button').click()")
        await arrives(page, f"{console}#/sign-in")
        await until(page, f"{fetching(ME)}.then(([status]) => status === 401)")
        assert SESSION not in await cookies(page)


async def test_a_tab_does_not_go_on_under_the_name_of_who_was_here_before(
    core: StubCore, tmp_path: Path
) -> None:
    """The cookie is that of all tabs, and another one may have signed somebody else in."""
    async with (
        scripted_provider() as provider,
        one_origin(core, tmp_path, settings(provider)) as (front, replicas, _),
        a_tab() as page,
        a_tab() as other,
    ):
        for one in (provider, *(replica.clock for replica in replicas)):
            one.now = time.time()  # type: ignore[attr-defined]
        console = f"{front.url}/console"
        names = {}
        for tab, person in ((page, "ada"), (other, "bob")):
            provider.claims = {"sub": person}
            await go(tab, f"{front.url}{START}?return_to=/console", console)
            await until(tab, WHO)
            names[person] = await tab.evaluate(WHO)
        assert names["ada"] != names["bob"]
        await page.evaluate("sessionStorage.setItem('kept', 'by Ada')")
        bobs = (await cookies(other))[SESSION]
        given = {name: bobs[name] for name in ("name", "value", "path", "secure", "httpOnly")}
        await page.send("Network.setCookie", url=front.url, **given)
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange')) || null")
        await until(page, f"{WHO} === {json.dumps(names['bob'])}")
        assert await page.evaluate("sessionStorage.getItem('kept')") is None


WHO = "document.querySelector('.who')?.textContent"


async def until(page: Page, expression: str) -> None:
    async def holds() -> bool:
        with contextlib.suppress(AssertionError):  # between two pages there is none to ask
            told = await page.evaluate(f"Promise.resolve({expression}).then(Boolean)")
            return bool(told)
        return False

    async with asyncio.timeout(WAIT_S):
        while not await holds():  # noqa: ASYNC110  # it happens in the browser
            await asyncio.sleep(0.05)
