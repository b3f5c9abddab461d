"""What the tests of the Ask screen do in a tab, and look at there."""

from __future__ import annotations

import re

from playwright.async_api import Locator, Page, expect

from tests.system.people import Person

from .tabs import Tab

LIGHTHOUSE = b"The lighthouse of Skellig was built by the sisters Byrne. It was lit in 1826.\n"


async def add(tab: Tab, content: bytes, filename: str, kind: str = "text/plain") -> str:
    """A document of the tab's user, indexed; its id."""
    person = Person(tab.base_url, tab.name, tab.tenant)
    person.http.headers["Authorization"] = f"Bearer {tab.token}"
    try:
        return await person.add(content, filename, kind)
    finally:
        await person.aclose()


async def ask(page: Page, question: str) -> Locator:
    """Asks as a person does; the place of the question and its answer."""
    await page.get_by_label("Question").fill(question)
    await page.keyboard.press("Enter")
    turn = page.get_by_role("article").last
    await expect(turn.get_by_role("heading", level=2)).to_have_text(question)
    return turn


def answer(turn: Locator) -> Locator:
    return turn.locator(".answer")


async def is_complete(turn: Locator) -> None:
    await expect(turn).to_have_class(re.compile(r"\bdone\b"))


TELLS = """(button) => {
    const said = (resolve) => {
        const observer = new MutationObserver(() => resolve(button.textContent));
        observer.observe(button, { childList: true });
    };
    button.said = new Promise(said);
}"""


async def copied(button: Locator) -> str:
    """Presses it; what it copied. That it did so it says for two seconds, which a busy machine can
    miss: it is watched from before on."""
    handle = await button.element_handle()
    await handle.evaluate(TELLS)
    await handle.click()
    assert await handle.evaluate("(button) => button.said") == "Copied"
    return str(await button.page.evaluate("navigator.clipboard.readText()"))


async def signed_out(page: Page) -> None:
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def overflows(page: Page) -> bool:
    """Whether the page is wider than its window, so that it scrolls sideways."""
    return bool(await page.evaluate("document.scrollingElement.scrollWidth > window.innerWidth"))
