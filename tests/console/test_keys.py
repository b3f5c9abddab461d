"""API keys in the console: made, shown once, used, rotated, revoked."""

from __future__ import annotations

import httpx
import pytest
from playwright.async_api import Page, expect

from gateway.domain.actions import ACTIONS, PERSON_ONLY
from tests.system.people import until

from .tabs import Tab, Tabs
from .test_screens import faults

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("console"),
]

# Where a secret could be left behind, as one text.
EVERYWHERE = """() => JSON.stringify([
    document.documentElement.outerHTML,
    [...document.querySelectorAll("input, textarea")].map((one) => one.value),
    {...sessionStorage}, {...localStorage}, location.href, history.state, document.cookie,
    window.name,
])"""


async def me(tab: Tab, secret: str) -> httpx.Response:
    """What the API says to a program that comes with this secret."""
    async with httpx.AsyncClient(base_url=tab.base_url, trust_env=False) as client:
        return await client.get("/api/v1/auth/me", headers={"X-API-Key": secret})


async def open_keys(tab: Tab) -> Page:
    await tab.open("#/keys")
    await expect(tab.page.get_by_role("heading", level=1, name="API keys")).to_be_visible()
    return tab.page


async def make_key(page: Page, name: str, *scopes: str, expires: str = "30 days") -> str:
    """Through the dialog; the secret that is shown."""
    await page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog", name="New API key")
    await dialog.get_by_label("Name").fill(name)
    for scope in scopes:
        await dialog.get_by_role("checkbox", name=scope).check()
    await dialog.get_by_label("Expires in").select_option(label=expires)
    await dialog.get_by_role("button", name="Make the key").click()
    return await shown_secret(page)


async def shown_secret(page: Page) -> str:
    secret = page.get_by_label("Secret", exact=True)
    await expect(secret).to_contain_text("kbg_")
    return await secret.inner_text()


async def put_away(page: Page) -> None:
    await page.get_by_role("button", name="I have stored it").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_key_works_until_it_is_revoked_and_its_secret_stays_nowhere(tab: Tab) -> None:
    page = await open_keys(tab)
    await tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    secret = await make_key(page, "nightly import", "auth:me", "query:run")
    assert await faults(page) == {}
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_contain_text("shown this once")
    await page.get_by_role("button", name="Copy the key").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == secret
    await put_away(page)

    assert secret not in await page.evaluate(EVERYWHERE)
    answer = await me(tab, secret)
    assert answer.json()["scopes"] == ["auth:me", "query:run"]

    row = page.get_by_role("row", name="nightly import")
    await expect(row).to_contain_text("In use")
    await row.get_by_role("button", name="Revoke").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(row).to_contain_text("Revoked")
    await expect(row.get_by_role("button")).to_have_count(0)
    assert (await me(tab, secret)).status_code == 401


async def test_rotating_keeps_the_old_secret_for_as_long_as_chosen(tab: Tab) -> None:
    page = await open_keys(tab)
    first = await make_key(page, "rotated", "auth:me")
    await put_away(page)

    await rotate(page, "for an hour")
    second = await shown_secret(page)
    await expect(page.get_by_role("dialog")).to_contain_text("The old secret works until")
    await put_away(page)
    assert [(await me(tab, one)).status_code for one in (first, second)] == [200, 200]

    await rotate(page, "not at all: it may have leaked")
    third = await shown_secret(page)
    await put_away(page)
    found = [(await me(tab, one)).status_code for one in (first, second, third)]
    assert found == [401, 401, 200]


async def rotate(page: Page, overlap: str) -> None:
    await page.get_by_role("button", name="Rotate rotated").click()
    dialog = page.get_by_role("dialog", name="Rotate a key")
    await dialog.get_by_label("The old secret works on").select_option(label=overlap)
    await dialog.get_by_role("button", name="Rotate").click()


async def test_an_expired_key_is_shown_as_such(tab: Tab) -> None:
    """And it is told which one ends soon."""
    hostile = "short <img src=x onerror=alert(1)>"
    made = await tab.api("POST", "/api/v1/keys", name=hostile, scopes=["auth:me"], expires_in=1)
    await tab.api("POST", "/api/v1/keys", name="of a day", scopes=["auth:me"], expires_in=86400)

    async def is_over() -> bool:
        answer = await me(tab, made["secret"])
        return answer.status_code == 401 and answer.json()["error"]["code"] == "TOKEN_EXPIRED"

    await until(is_over)
    page = await open_keys(tab)
    ended = page.get_by_role("row", name="short")
    await expect(ended).to_contain_text("Expired")
    await expect(ended).to_contain_text(hostile)
    await expect(page.get_by_role("row", name="of a day")).to_contain_text("Expires soon")
    # What is in use comes first.
    await expect(page.get_by_role("rowheader").first).to_contain_text("of a day")


async def test_what_the_gateway_refuses_can_be_mended_in_the_dialog(tab: Tab) -> None:
    page = await open_keys(tab)
    await expect(page.get_by_text("No keys yet")).to_be_visible()
    await page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog", name="New API key")
    await dialog.get_by_label("Name").fill("   ")
    await dialog.get_by_role("button", name="Make the key").click()
    await expect(dialog).to_contain_text("Choose at least one thing")
    await dialog.get_by_role("button", name="Ask questions").click()
    await dialog.get_by_role("button", name="Make the key").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("not valid")
    await expect(dialog.get_by_role("alert")).to_contain_text("name: ")
    await dialog.get_by_label("Name").fill("mended")
    await dialog.get_by_role("button", name="Make the key").click()
    assert await shown_secret(page)
    await put_away(page)
    await expect(page.get_by_role("row", name="mended")).to_be_visible()


async def test_every_action_that_a_key_may_have_can_be_chosen(tabs: Tabs) -> None:
    """Those about other users by admins alone."""
    may_have = ACTIONS - PERSON_ONLY
    own = {action for action in may_have if not action.endswith(":any-owner")}
    for role, offered in (("editor", own), ("admin", may_have)):
        page = await open_keys(await tabs(role))
        await page.get_by_role("button", name="New key").click()
        boxes = page.get_by_role("dialog").get_by_role("checkbox")
        await expect(boxes).to_have_count(len(offered))
        shown = await boxes.evaluate_all("(boxes) => boxes.map((one) => one.value)")
        assert set(shown) == offered
        assert await faults(page) == {}
