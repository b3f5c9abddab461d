"""``python -m tools.console_speed URL USERNAME``: how soon the console can be used on slow lines.

Asks for the password on the terminal, or takes ``CONSOLE_PASSWORD``. Chromium throttles itself;
each figure is the median of five first visits with nothing in its cache. docs/console.md has what
came of it. Needs the extra ``[test]`` and Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from playwright.async_api import Browser

from tests.console.tabs import running_browser

VISITS = 5
# When there is something to type into: a name, or a question.
USABLE = """
    new MutationObserver(() => {
        const field = document.querySelector("main input, main textarea");
        if (field && !field.disabled) window.usableAt ??= performance.now();
    }).observe(document, { childList: true, subtree: true });
"""
BYTES = """() => performance.getEntriesByType("resource")
    .concat(performance.getEntriesByType("navigation"))
    .reduce((sum, one) => sum + one.encodedBodySize, 0)"""
FILES = "() => performance.getEntriesByType('resource').length + 1"


@dataclass(frozen=True)
class Line:
    """``mbit_s`` both ways, ``latency_ms`` for each request; ``limit_s`` is what is aimed at."""

    name: str
    mbit_s: float
    latency_ms: float
    limit_s: float


LINES = (
    Line("10 Mbit/s, 40 ms", 10, 40, 1),
    Line("1.6 Mbit/s, 150 ms", 1.6, 150, 2),
)


async def visit(browser: Browser, url: str, line: Line, kept: str | None) -> tuple[float, int, int]:
    """Seconds until one can type, bytes and files of a first visit."""
    context = await browser.new_context()
    try:
        await context.add_init_script(USABLE)
        if kept is not None:
            await context.add_init_script(f"sessionStorage.setItem('kb.session', {kept!r})")
        page = await context.new_page()
        devtools = await context.new_cdp_session(page)
        await devtools.send("Network.enable")
        through = line.mbit_s * 1e6 / 8
        await devtools.send(
            "Network.emulateNetworkConditions",
            {
                "offline": False,
                "latency": line.latency_ms,
                "downloadThroughput": through,
                "uploadThroughput": through,
            },
        )
        await page.goto(f"{url}/console", wait_until="commit")
        found = await page.wait_for_function("() => window.usableAt")
        usable_ms = float(await found.json_value())
        await page.wait_for_load_state("networkidle")
        return usable_ms / 1000, await page.evaluate(BYTES), await page.evaluate(FILES)
    finally:
        await context.close()


async def measure(url: str, username: str, password: str) -> bool:
    """Prints a table; whether all of it is as fast as it should be."""
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        answer = await http.post("/auth/login", json={"username": username, "password": password})
        answer.raise_for_status()
    kept = json.dumps({"token": answer.json()["access_token"], "expiresAt": None})
    good = True
    print("| line | sign-in | signed in | KiB | files |\n|---|---|---|---|---|")
    async with running_browser() as browser:
        for line in LINES:
            times, weight, files = [], 0, 0
            for who in (None, kept):
                visits = [await visit(browser, url, line, who) for _ in range(VISITS)]
                times.append(statistics.median(one[0] for one in visits))
                weight, files = visits[-1][1], visits[-1][2]
            good = good and max(times) <= line.limit_s
            told = " | ".join(f"{one:.2f} s" for one in times)
            print(f"| {line.name} | {told} | {weight / 1024:.0f} | {files} |")
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.console_speed", description=__doc__)
    parser.add_argument("url", help="of the gateway, such as http://127.0.0.1:8080")
    parser.add_argument("username")
    given = parser.parse_args(arguments)
    password = os.environ.get("CONSOLE_PASSWORD") or getpass.getpass()
    return 0 if asyncio.run(measure(given.url.rstrip("/"), given.username, password)) else 1


if __name__ == "__main__":
    sys.exit(main())
