"""What the first view weighs: all that a browser loads before one can ask."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from .tabs import Tab, Tabs

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("console"),
]

LIMIT_BYTES = 100 * 1024
# Bodies as they were sent: compressed.
WEIGHED = """() => performance.getEntriesByType("resource")
    .concat(performance.getEntriesByType("navigation"))
    .filter((one) => new URL(one.name).pathname.startsWith("/console"))
    .map((one) => [new URL(one.name).pathname, one.encodedBodySize])"""


async def weight(tab: Tab, heading: str) -> int:
    await expect(tab.page.get_by_role("heading", level=1)).to_have_text(heading)
    await tab.page.wait_for_load_state("networkidle")
    files = await tab.page.evaluate(WEIGHED)
    assert all(size > 0 for _, size in files), files
    print(sorted(files, key=lambda one: -one[1]))
    return sum(size for _, size in files)


async def test_the_first_view_weighs_little(tabs: Tabs) -> None:
    """For who has to sign in, and for who is signed in and wants to ask."""
    stranger, tab = await tabs.stranger(), await tabs()
    await stranger.page.goto(f"{stranger.base_url}/console")
    assert await weight(stranger, "Sign in") <= LIMIT_BYTES
    await tab.page.goto(f"{tab.base_url}/console")
    assert await weight(tab, "Ask") <= LIMIT_BYTES


async def test_a_second_visit_loads_no_file_again(tab: Tab) -> None:
    """They are kept for good; the page itself is asked for, and rarely sent."""
    await tab.open()
    # What was still on its way would be loaded again.
    await tab.page.wait_for_load_state("networkidle")
    seen: list[tuple[str, int]] = []
    tab.page.on("response", lambda answer: seen.append((answer.url, answer.status)))
    await tab.page.reload()
    await expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
    sizes = await tab.page.evaluate(
        """() => performance.getEntriesByType("resource")
            .filter((one) => one.name.includes("/console/assets/"))
            .map((one) => one.transferSize)"""
    )
    assert sizes
    assert set(sizes) == {0}
