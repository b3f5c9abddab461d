"""The console at the address that ``gateway demo`` gives, in a real Chromium: to an answer."""

from __future__ import annotations

import os
import re
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from .browser.chromium import find_chromium

# For whatever is waited for: no speed is asserted, and the machine may be busy.
PATIENCE_MS = 60_000
SIZE = {"width": 1100, "height": 520}
PICTURE = Path(__file__).parents[2] / "docs" / "images" / "console-ask.png"


def ask_in_the_console(address: str, question: str, filename: str, page: int) -> str:
    """Opens ``address``, asks, and opens the passage that is cited; gives the answer's text.

    Where ``CONSOLE_SCREENSHOTS=1`` it takes the README's picture.
    """
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # No sandbox, which root and most containers can't have: it only opens pages of our own.
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"],
        )
        try:
            tab = _opened(browser, address)
            text = _asked(tab, question)
            _look_at_the_source(tab, filename, page)
        finally:
            browser.close()
    return text


def _opened(browser: Browser, address: str) -> Page:
    """Signed in by the token, with no form to fill in; the address has it no more."""
    context = browser.new_context(viewport=SIZE, locale="en-GB", reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(address)
    expect(page.get_by_role("heading", level=1, name="Ask")).to_be_visible()
    assert page.url == f"{address.partition('#')[0]}#/ask"
    page.get_by_role("button", name="Close this notice").click()
    return page


def _asked(tab: Page, question: str) -> str:
    tab.get_by_label("Question").fill(question)
    tab.keyboard.press("Enter")
    turn = tab.get_by_role("article").last
    expect(turn).to_have_class(re.compile(r"\bdone\b"))
    _take_picture(tab)
    return turn.locator(".answer").inner_text()


def _look_at_the_source(tab: Page, filename: str, page: int) -> None:
    name = f"Source 1: {filename}"
    tab.get_by_role("button", name=f"{name} page {page}").click()
    passage = tab.get_by_role("dialog", name=name)
    expect(passage).to_contain_text(f"Page {page}")


def _take_picture(tab: Page) -> None:
    if os.environ.get("CONSOLE_SCREENSHOTS") == "1":
        PICTURE.parent.mkdir(exist_ok=True)
        tab.screenshot(path=PICTURE)
