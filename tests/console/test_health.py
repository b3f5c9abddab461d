"""The console's health screen: what is well, what is away, and that looking costs little."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from devstack.stack import Stack
from gateway import __version__
from gateway.wiring.dependencies import DEPENDENCIES
from tests.system.people import until

from .tabs import Tab

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("console"),
]

HIDE = """(state) => {
    Object.defineProperty(document, "visibilityState", { configurable: true, value: state });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


async def open_health(tab: Tab) -> Page:
    await tab.open("#/health")
    await expect(tab.page.get_by_role("heading", level=1, name="Health")).to_be_visible()
    return tab.page


async def test_a_part_that_is_away_is_named_with_what_is_missed(tab: Tab, stack: Stack) -> None:
    """And it is seen by itself when it comes back."""
    await tab.page.clock.install()
    page = await open_health(tab)
    await expect(page.get_by_role("heading", name="All is well")).to_be_visible()
    await expect(page.get_by_text(__version__)).to_be_visible()
    core = page.locator("[data-part=core]")
    stack.freeze("core")
    try:
        await later(tab, "degraded")
        await expect(core).to_contain_text("Does not answer")
        await expect(core).to_contain_text("Questions fail")
        await expect(page.get_by_role("heading", name="Degraded")).to_be_visible()
    finally:
        stack.thaw("core")
    await later(tab, "ok")
    await expect(core).to_contain_text("Works")


async def later(tab: Tab, status: str) -> None:
    """Once the gateway itself has seen it, and the page's time to ask again has come."""

    async def is_seen() -> bool:
        return bool((await tab.api("GET", "/readyz"))["status"] == status)

    await until(is_seen)
    await tab.page.clock.run_for(10_000)


async def test_nothing_is_asked_while_nobody_looks(tab: Tab) -> None:
    """In a hidden tab, or on another screen; and less often while no answer comes."""
    await tab.page.clock.install()
    page = await open_health(tab)
    await expect(page.get_by_role("heading", name="All is well")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))

    await page.evaluate(HIDE, "hidden")
    # The page's clock goes on by itself: its time to ask may have come just before.
    asked.clear()
    await page.clock.run_for(300_000)
    assert asked == []
    await page.evaluate(HIDE, "visible")
    async with page.expect_response("**/readyz"):
        await page.clock.run_for(3_000)

    await tab.context.set_offline(True)
    await page.clock.run_for(10_000)
    await expect(page.get_by_role("heading", name="No answer")).to_be_visible()
    await tab.context.set_offline(False)
    async with page.expect_response("**/readyz"):
        await page.clock.run_for(20_000)
    await expect(page.get_by_role("heading", name="All is well")).to_be_visible()

    await tab.open("#/keys")
    asked.clear()
    await page.clock.run_for(300_000)
    assert "readyz" not in asked


async def test_every_part_has_words(tab: Tab) -> None:
    """A part that is added to the gateway is named here for people, too."""
    page = await open_health(tab)
    words = await page.evaluate(
        """async () => {
            const place = document.querySelector("script[src]").src;
            const words = await import(new URL("screens/health/words.js", place));
            return [...words.PARTS.keys()];
        }"""
    )
    assert set(words) >= {one.name for one in DEPENDENCIES} - {"replica", "people"}
