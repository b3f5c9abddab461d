"""Signing in to the console and out of it, as people do, and what a session leaves behind."""

from __future__ import annotations

import datetime

import httpx
import pytest
from playwright.async_api import Page, Route, expect

from .tabs import PASSWORD, Tab, Tabs, name_of, sign_in

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("console"),
]

# Everything that a browser keeps for a page, as one text.
KEPT = """() => JSON.stringify([
    {...sessionStorage}, {...localStorage}, document.cookie,
    location.href, history.state, window.name,
])"""


async def fill_in(page: Page, name: str, password: str = PASSWORD) -> None:
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in", exact=True).click()


async def is_at(page: Page, place: str) -> None:
    await page.wait_for_url(f"**/console{place}")


async def test_by_keyboard_alone_one_signs_in_and_gets_about(tabs: Tabs) -> None:
    """The focus begins in the form, then goes to each screen's heading; every part is reached."""
    tab = await tabs.stranger()
    page = tab.page
    await page.goto(f"{tab.base_url}/")
    await expect(page.get_by_label("Name")).to_be_focused()
    await page.keyboard.type(name_of("editor", 140))
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await is_at(page, "#/ask")
    for part in ("Documents", "API keys", "Usage", "Health"):
        link = page.get_by_role("link", name=part, exact=True)
        while not await link.evaluate("(one) => one === document.activeElement"):
            await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Enter")
        await expect(link).to_have_attribute("aria-current", "page")
        shown = page.get_by_role("heading", level=1)
        await expect(shown).to_be_focused()
        assert (await shown.inner_text()) in await page.title()


async def test_a_wrong_password_is_told_and_can_be_mended(tabs: Tabs) -> None:
    tab = await tabs.stranger()
    page = tab.page
    await page.goto(f"{tab.base_url}/console")
    await fill_in(page, name_of("editor", 141), "not the password")
    await expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    await expect(page.get_by_label("Password")).to_be_focused()
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await is_at(page, "#/ask")


async def test_who_has_to_wait_is_told_how_long(tabs: Tabs) -> None:
    """After too many failures, say; nothing goes on behind the form meanwhile."""
    tab = await tabs.stranger()
    page = tab.page
    asked: list[str] = []

    async def refuse(route: Route) -> None:
        asked.append(route.request.url)
        error = {"code": "RATE_LIMITED", "message": "Too many requests.", "details": {}}
        await route.fulfill(status=429, headers={"Retry-After": "25"}, json={"error": error})

    await page.route("**/auth/login", refuse)
    await page.goto(f"{tab.base_url}/console")
    await fill_in(page, name_of("editor", 144))
    await expect(page.get_by_role("alert")).to_contain_text("Try again in 25 s.")
    await expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_enabled()
    assert len(asked) == 1


async def test_the_content_is_a_key_away(tab: Tab) -> None:
    """Past the head, on the screen that one is on."""
    page = tab.page
    await tab.open("#/documents")
    await page.get_by_role("link", name="Skip to the content").press("Enter")
    await expect(page.locator("main")).to_be_focused()
    await is_at(page, "#/documents")


async def test_one_comes_back_to_where_one_was_after_a_session_that_ended(tab: Tab) -> None:
    """Be it revoked elsewhere: the sentence says so, and what the tab keeps is there again."""
    page = tab.page
    await tab.open()
    await page.evaluate("sessionStorage.setItem('kb.something', 'kept')")
    await tab.api("POST", "/api/v1/auth/logout")
    await page.get_by_role("link", name="Documents", exact=True).click()
    await expect(page.get_by_text("Your session has ended")).to_be_visible()
    await fill_in(page, tab.name)
    await is_at(page, "#/documents")
    assert await page.evaluate("sessionStorage.getItem('kb.something')") == "kept"


async def test_somebody_else_finds_nothing_of_who_was_there_before(tabs: Tabs, tab: Tab) -> None:
    """A session that ended leaves its conversations to its own user alone."""
    page = tab.page
    await tab.open()
    await page.evaluate("sessionStorage.setItem('kb.something', 'private')")
    await tab.api("POST", "/api/v1/auth/logout")
    await page.reload()
    await expect(page.get_by_text("Your session has ended")).to_be_visible()
    await fill_in(page, name_of("editor", 142))
    await is_at(page, "#/ask")
    assert "private" not in await page.evaluate(KEPT)


async def test_the_end_of_a_session_is_told_before(tabs: Tabs) -> None:
    """Two minutes before; at the end itself the sign-in is shown."""
    tab = await tabs()
    page = tab.page
    await page.clock.install()
    await tab.open()
    me = await tab.api("GET", "/api/v1/auth/me")
    ends = datetime.datetime.fromisoformat(me["expires_at"]).timestamp()
    now = await page.evaluate("Date.now()") / 1000
    await page.clock.run_for(int((ends - now - 100) * 1000))
    await expect(page.get_by_text("Your session ends at")).to_be_visible()
    await page.clock.run_for(101_000)
    await expect(page.get_by_text("Your session has ended")).to_be_visible()


async def test_signing_out_leaves_nothing_behind(tab: Tab) -> None:
    """Neither here nor at the server; "back" shows nothing."""
    page = tab.page
    await tab.open("#/documents")
    await page.evaluate("sessionStorage.setItem('kb.something', 'private')")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("You are signed out.")).to_be_visible()
    kept = await page.evaluate(KEPT)
    assert tab.token not in kept
    assert "private" not in kept
    await page.go_back()
    await expect(page.get_by_role("heading", level=1, name="Sign in")).to_be_visible()

    async with httpx.AsyncClient(base_url=tab.base_url, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {tab.token}"}
        answer = await http.get("/api/v1/auth/me", headers=headers)
    assert answer.json()["error"]["code"] == "UNAUTHENTICATED"


async def test_the_token_is_in_this_tab_alone(tab: Tab) -> None:
    """A second tab of the same browser asks for a sign-in; a reloaded one goes on."""
    page = tab.page
    await tab.open()
    assert tab.token not in await page.evaluate("() => JSON.stringify({...localStorage})")
    await page.reload()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    other = await tab.context.new_page()
    await other.goto(f"{tab.base_url}/console")
    await expect(other.get_by_role("heading", level=1, name="Sign in")).to_be_visible()


async def test_a_token_in_the_address_signs_in_and_is_gone_from_it(tabs: Tabs) -> None:
    """Neither the address, nor the history, nor a request of the page has it."""
    tab = await tabs.stranger()
    page = tab.page
    name = name_of("admin", 143)
    token = (await sign_in(tab.base_url, name))["access_token"]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{tab.base_url}/console#token={token}")
    await is_at(page, "#/ask")
    await expect(page.get_by_text(f"signed you in as {name}")).to_be_visible()
    await page.go_back()
    assert token not in page.url
    assert not [url for url in asked[1:] if token in url.partition("#")[0]]


async def test_a_token_in_the_address_takes_nobodys_place_unasked(tabs: Tabs, tab: Tab) -> None:
    """A link that somebody else made would have him upload into that one's account."""
    page, other = tab.page, name_of("admin", 144)
    token = (await sign_in(tab.base_url, other))["access_token"]
    await tab.open()
    for answer, whose in (("Cancel", tab.name), ("Sign in by it", other)):
        await page.evaluate("(token) => { location.hash = `token=${token}`; }", token)
        await page.get_by_role("dialog").get_by_role("button", name=answer).click()
        await expect(page.locator(".who")).to_have_text(whose)
        assert token not in page.url


RUBBISH = ("nonsense", "日本", "a%0Ab", "%E0%A4%A", "x" * 70_000)


async def test_a_token_in_the_address_that_is_none_is_told(tabs: Tabs) -> None:
    """Also one that no request can have in its head; the tab keeps nothing of it, which would be
    in the way of everybody who wants to sign in there."""
    tab = await tabs.stranger()
    page = tab.page
    for token in RUBBISH:
        await page.goto("about:blank")
        await page.goto(f"{tab.base_url}/console#token={token}")
        await expect(page.get_by_text("no longer valid")).to_be_visible()
        await expect(page.get_by_role("heading", level=1, name="Sign in")).to_be_visible()
        assert await page.evaluate("sessionStorage.length") == 0
    await fill_in(page, name_of("editor", 145))
    await is_at(page, "#/ask")


async def test_who_signs_in_by_an_address_that_is_no_good_is_signed_out(tab: Tab) -> None:
    """He was told that what the tab keeps is lost: the screen shows nothing of it any more."""
    await tab.open("#/documents")
    await tab.page.evaluate("() => { location.hash = 'token=a%0Ab'; }")
    await tab.page.get_by_role("dialog").get_by_role("button", name="Sign in by it").click()
    await expect(tab.page.get_by_text("no longer valid")).to_be_visible()
    await expect(tab.page.get_by_role("heading", level=1)).to_have_text("Sign in")
    await expect(tab.page.locator(".who")).to_have_count(0)


async def test_two_users_at_once_see_their_own(tabs: Tabs) -> None:
    """Each in a browser of his own, with his own name over his own things."""
    one, two = await tabs(), await tabs()
    for tab in (one, two):
        await tab.api("POST", "/api/v1/keys", name=f"key of {tab.name}", scopes=["auth:me"])
        await tab.open("#/keys")
    for tab, other in ((one, two), (two, one)):
        await expect(tab.page.get_by_role("rowheader")).to_have_count(1)
        await expect(tab.page.get_by_role("rowheader")).to_contain_text(f"key of {tab.name}")
        await expect(tab.page.locator(".who")).to_have_text(tab.name)
        assert other.token not in await tab.page.evaluate(KEPT)
