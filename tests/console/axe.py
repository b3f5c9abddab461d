"""axe-core in a page: what it finds against people who read, hear or move otherwise.

Its script comes from npm at the version of ``package-lock.json`` and is run by ``page.evaluate``:
the page's own policy lets no script tag in.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import pytest
from playwright.async_api import Page

from devstack.components import Missing
from tools.node_packages import CONSOLE

# WCAG 2.2 A and AA, and what axe holds for good practice.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """async (tags) => {
    const found = await axe.run(document, {
        runOnly: { type: "tag", values: tags },
        resultTypes: ["violations"],
    });
    return found.violations.map(({ id, impact, help, nodes }) => ({
        id, impact, help, nodes: nodes.map((one) => `${one.target} ${one.failureSummary}`),
    }));
}"""


@lru_cache(maxsize=1)
def _script() -> str:
    try:
        return (CONSOLE.modules() / "axe-core" / "axe.min.js").read_text("utf-8")
    except Missing as missing:
        if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


async def violations(page: Page) -> list[dict[str, Any]]:
    """All that axe finds on the page as it is shown now; empty when all is well."""
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate(_script())
    found: list[dict[str, Any]] = await page.evaluate(RUN, TAGS)
    return found
