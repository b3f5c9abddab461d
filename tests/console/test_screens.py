"""Every screen of the console: for anybody, at any width, with nothing that its policy refuses."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, expect

from devstack.stack import Stack

from .axe import violations
from .tabs import PHONE, WIDE, Tab, Tabs

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("console"),
]

SCREENS = ("#/ask", "#/documents", "#/keys", "#/usage", "#/health", "#/account")
LOOKS = {
    "wide": (WIDE, False),
    "wide, dark": (WIDE, True),
    "phone": (PHONE, False),
    "phone, dark": (PHONE, True),
}
IMAGES = Path(__file__).parents[2] / "docs" / "images"
TOO_WIDE = """() => {
    const root = document.scrollingElement;
    return root.scrollWidth > root.clientWidth ? [root.scrollWidth, root.clientWidth] : null;
}"""


async def settled(page: Page) -> None:
    """All that the screen asked for is there."""
    await page.wait_for_load_state("networkidle")
    await expect(page.locator("[aria-busy=true]")).to_have_count(0)


async def shown(tab: Tab, place: str) -> None:
    """This screen and no longer the one before, whose heading is seen until the next is loaded."""
    await tab.open(place)
    screen = tab.page.locator(f"main .screen.{place.removeprefix('#/')}")
    await expect(screen.get_by_role("heading", level=1)).to_be_visible()
    await settled(tab.page)


async def faults(page: Page) -> dict[str, object]:
    """What is wrong with the screen as it is shown; empty when all is well."""
    found = {
        "axe": await violations(page),
        "refused by the policy": await page.evaluate("window.violations"),
        "wider than the window": await page.evaluate(TOO_WIDE),
    }
    return {name: value for name, value in found.items() if value}


@pytest.mark.parametrize("look", LOOKS)
async def test_anybody_can_use_every_screen(tabs: Tabs, look: str) -> None:
    """axe finds nothing, nothing is wider than the window, and the policy refuses nothing."""
    size, dark = LOOKS[look]
    tab = await tabs(size=size, dark=dark)
    found = {}
    for place in SCREENS:
        await shown(tab, place)
        if wrong := await faults(tab.page):
            found[place] = wrong
    stranger = await tabs.stranger(size=size, dark=dark)
    await stranger.open("#/sign-in")
    if wrong := await faults(stranger.page):
        found["#/sign-in"] = wrong
    assert found == {}
    if look == "wide":
        await picture(stranger, "console-sign-in-wide")


async def picture(tab: Tab, name: str) -> None:
    """For docs/console.md, where it is asked for."""
    if os.environ.get("CONSOLE_SCREENSHOTS") == "1":
        IMAGES.mkdir(exist_ok=True)
        await tab.page.screenshot(path=IMAGES / f"{name}.png")


async def test_it_asks_nobody_but_the_gateway(tab: Tab, stack: Stack) -> None:
    """On no screen does anything come from elsewhere."""
    asked: set[str] = set()
    tab.page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    for place in SCREENS:
        await shown(tab, place)
    assert asked == {urlsplit(stack.base_url).netloc}


async def test_colours_are_chosen_and_kept(tab: Tab) -> None:
    """Against what the system says, in this browser from now on."""
    page = tab.page
    await tab.open()
    light = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await page.get_by_label("Colours").select_option("dark")
    dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    await page.reload()
    await expect(page.get_by_label("Colours")).to_have_value("dark")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


async def test_an_address_that_names_nothing_leads_to_the_first_screen(tab: Tab) -> None:
    await tab.open("#/nothing/of/the/kind")
    await tab.page.wait_for_url("**/console#/ask")
