"""What the tests of the Documents screens do on them, and the files they upload."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

from devstack.core.documents import Owner, rfc3339
from devstack.core.registry import Registry
from devstack.stack import Stack
from tests.system.core_fixtures import uuid7

from .tabs import Tab

MIB = 1024 * 1024
SAMPLES = Path(__file__).parents[2] / "devstack" / "sample"
# The limit above which a file is sent in parts, and their size, stand in ``conftest.SETTINGS``.
PART_BYTES = 5 * MIB


def text(name: str, content: str | bytes) -> dict[str, Any]:
    """A file for ``set_input_files`` that is on no disk."""
    data = content.encode() if isinstance(content, str) else content
    return {"name": name, "mimeType": "", "buffer": data}


def large(name: str, size: int, seed: str) -> dict[str, Any]:
    """A PDF that is read at once: its bytes are a comment, of which each seed makes other ones."""
    whole = (SAMPLES / "tidewater-library-notices.pdf").read_bytes()
    # It ends with where its tables begin; what stands before a second such end is skipped.
    end = whole[whole.rindex(b"startxref") :]
    padding = (f"{seed} ".encode() * (size // (len(seed) + 1) + 1))[
        : size - len(whole) - len(end) - 3
    ]
    return text(name, whole + b"\n%" + padding + b"\n" + end)


async def choose(page: Page, *files: dict[str, Any]) -> None:
    async with page.expect_file_chooser() as chosen:
        await page.get_by_role("button", name="Choose files").click()
    await (await chosen.value).set_files(list(files))


def upload(page: Page, name: str) -> Locator:
    """The line of a file that was chosen."""
    uploads = page.get_by_role("region", name="Uploads")
    return uploads.get_by_role("listitem").filter(has_text=name)


def row(page: Page, name: str) -> Locator:
    """The row of a document."""
    return page.locator("table.document-list tbody tr").filter(has_text=name)


async def drop(page: Page, *paths: Path) -> None:
    """As the system's file manager does it: real entries, folders among them."""
    box = await page.get_by_role("region", name="Upload", exact=True).bounding_box()
    assert box is not None
    session = await page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        await session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})


# Texts of different cells of one row that lie on one another.
OVERLAPS = """(row) => {
    const boxes = [...row.querySelectorAll("td")].map((cell) => {
        const range = document.createRange();
        range.selectNodeContents(cell);
        return range.getBoundingClientRect();
    });
    const apart = (a, b) => a.right <= b.left || b.right <= a.left
        || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
    return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => !apart(a, b)));
}"""

# Each value that a bar had, of a file and of all, in the order they came.
WATCH_BARS = """() => {
    window.bars = {};
    const note = (bar) => (window.bars[bar.getAttribute("aria-label")] ??= []).push(bar.value);
    const changed = (changes) => changes.map(({ target }) => target)
        .filter((one) => one.matches("progress")).forEach(note);
    new MutationObserver(changed)
        .observe(document.body, { subtree: true, attributes: true, attributeFilter: ["value"] });
}"""


async def bars(page: Page) -> dict[str, list[float]]:
    found: dict[str, list[float]] = await page.evaluate("window.bars")
    return found


class Network:
    """The network of one page: gone, or as it is."""

    def __init__(self, session: Any) -> None:
        self._session = session

    @classmethod
    async def of(cls, tab: Tab) -> Network:
        session = await tab.context.new_cdp_session(tab.page)
        await session.send("Network.enable")
        return cls(session)

    async def _set(self, offline: bool) -> None:
        limits = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await self._session.send("Network.emulateNetworkConditions", {"offline": offline, **limits})

    async def lost(self) -> None:
        await self._set(True)

    async def back(self) -> None:
        await self._set(False)


def parts_sent(page: Page) -> list[str]:
    """The numbers of the parts that go to the store from now on, in the order they went."""
    numbers: list[str] = []

    def note(request: Any) -> None:
        if request.method == "PUT" and (found := re.search(r"partNumber=(\d+)", request.url)):
            numbers.append(found[1])

    page.on("request", note)
    return numbers


def record(stack: Stack, tab: Tab, names: Sequence[str], **other: Any) -> None:
    """Documents that were indexed long ago, written where the core keeps them."""
    registry = Registry(stack.data_dir / "core")
    try:
        rows = [_row(tab, n, name, **other) for n, name in enumerate(names)]
        with registry._transaction("IMMEDIATE") as connection:
            places = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO documents VALUES ({places})", rows)
    finally:
        registry.close()


def _row(
    tab: Tab, n: int, name: str, status: str = "indexed", warnings: tuple[str, ...] = ()
) -> Any:
    """The first name is the oldest, a minute before the next."""
    added = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=n)
    owner = Owner(tab.tenant, tab.name)
    return (
        *(owner.tenant, owner.subject, uuid7(int(added.timestamp() * 1000))),
        *(name, "text/plain", n + 1, f"{n:064x}", status, None),
        *(rfc3339(added), rfc3339(added), 1, json.dumps(list(warnings))),
    )


def part_is_there(page: Page, number: int) -> Any:
    """A block that ends once the store has this part."""
    return page.expect_response(lambda one: f"partNumber={number}&" in one.url and one.ok)


async def is_ready(page: Page, name: str) -> None:
    await expect(row(page, name)).to_contain_text("Ready")
