"""Usage and limits in the console: nothing limited, and a budget until it is spent."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

from devstack.stack import Stack
from tests.components import running_redis
from tests.system.people import until
from tests.system.test_workers import serving

from .tabs import Tab, Tabs
from .test_screens import faults, picture, settled

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("console"),
]

# However long the machine took since.
LATELY = re.compile("just now|minutes? ago")
DAY = "query:run/subject/tokens/day"
LIMITS = (
    "query:run 60/h burst 2 per subject, 5 tokens/day per subject,"
    " 1000000 tokens/month per subject; *:* 900/m per address"
)


async def test_where_nothing_is_limited_it_says_so(tab: Tab) -> None:
    await tab.open("#/usage")
    await settled(tab.page)
    assert await faults(tab.page) == {}
    for words in ("does not count tokens", "No budget", "No limits"):
        await expect(tab.page.get_by_text(words)).to_be_visible()
    await expect(tab.page.get_by_role("progressbar")).to_have_count(0)


async def test_a_budget_is_shown_until_it_is_spent(
    tabs: Tabs, stack: Stack, tmp_path: Path
) -> None:
    """What is left of each, when it begins anew, and when a key was used."""
    async with running_redis(tmp_path) as redis:
        # What a busy machine does to Redis's answers is no subject here.
        shared = {"REDIS_URL": f"redis://{redis.launch.address}", "REDIS_TIMEOUT": "10s"}
        async with serving(stack, 1, LIMITS=LIMITS, **shared) as gateway:
            tab = await tabs(base_url=gateway.base_url)
            await begins(tab)
            await spends(tab)
            await is_spent(tab)


async def begins(tab: Tab) -> None:
    await tab.open("#/usage")
    today = tab.page.locator(f"[data-quota='{DAY}']")
    await expect(today).to_contain_text("Your questions, today")
    await expect(today).to_contain_text("0 of 5 tokens used, 5 left")
    await expect(today).to_contain_text("begins anew")
    rate = tab.page.locator("[data-limit='query:run/subject/h']")
    await expect(rate).to_contain_text("60 an hour, 2 of them at once")
    # Of limits by address only the heads of answers tell.
    address = tab.page.locator("[data-limit='*:*/address/m']")
    await expect(address).to_contain_text("Requests from your address")


async def spends(tab: Tab) -> None:
    """With a key, so that its use is told, too."""
    scopes = ["query:run", "usage:read"]
    key = await tab.api("POST", "/api/v1/keys", name="asks", scopes=scopes)
    assert (await asking(tab, key["secret"])).status_code == 200

    async def is_charged() -> bool:
        used = await tab.api("GET", "/api/v1/usage")
        return bool(used["quotas"][0]["left"] == 0)

    await until(is_charged)
    refused = await asking(tab, key["secret"])
    assert refused.json()["error"]["code"] == "QUOTA_EXCEEDED"


async def asking(tab: Tab, key: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=tab.base_url, timeout=30, trust_env=False) as http:
        body = {"query": "is there anything", "stream": False}
        return await http.post("/api/v1/query", json=body, headers={"X-API-Key": key})


async def is_spent(tab: Tab) -> None:
    page = tab.page
    await page.get_by_role("button", name="Refresh").click()
    today = page.locator(f"[data-quota='{DAY}']")
    await expect(today).to_contain_text("Spent")
    await expect(today).to_contain_text("refused until it begins anew")
    await expect(page.get_by_role("row", name="asks")).to_contain_text(LATELY)
    await settled(page)
    await picture(tab, "console-usage")
    await tab.open("#/keys")
    used = page.get_by_role("row", name="asks").locator("[data-label='Last used']")
    await expect(used).to_contain_text(LATELY)


HEAD = {
    "RateLimit-Policy": '"query:run/subject/m";q=60;w=60;kbg-burst=10, '
    '"query:run/subject/open";q=8;qu="concurrent-requests"',
    "RateLimit": '"query:run/subject/m";r=9;t=1, "query:run/subject/open";r=7',
}


async def test_the_rate_limit_fields_are_read_as_they_are_written(tab: Tab) -> None:
    """Those of docs/limits.md."""
    await tab.open("#/usage")
    told = await tab.page.evaluate(
        """async (head) => {
            const place = document.querySelector("script[src]").src;
            const limits = await import(new URL("limits.js", place));
            return limits.toldBy(new Headers(head), 0);
        }""",
        HEAD,
    )
    assert [(one["name"], one["left"], one["again_s"], one["most"]) for one in told] == [
        ("query:run/subject/m", 9, 1, 60),
        ("query:run/subject/open", 7, None, 8),
    ]
    assert [(one["window_s"], one["burst"], one["unit"]) for one in told] == [
        (60, 10, "requests"),
        (None, None, "concurrent-requests"),
    ]
