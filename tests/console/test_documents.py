"""Documents in the console: found, sorted, looked at, deleted; two thousand, and hostile names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import expect

from devstack.stack import Stack

from .asking import copied
from .documents_pages import OVERLAPS, SAMPLES, choose, is_ready, record, row, text, upload
from .tabs import PHONE, Tab, Tabs
from .test_screens import faults, settled

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("console"),
]

HOSTILE = (
    '<img src=x onerror="window.hurt=1">.txt',
    "\u202egpj.exe\u202c and \u0007 more.txt",
    "Ж" * 120 + ".txt",
    "x" * 251 + ".txt",
    "שלום עולם.txt",
)


async def test_two_thousand_documents_are_found_sorted_and_deleted(tab: Tab, stack: Stack) -> None:
    """The newest come at once, older ones as they are asked for, and all of them to find one."""
    record(stack, tab, [f"report {n}.txt" for n in range(2000)])
    page = tab.page
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "/documents?" in one.url else None)
    await tab.open("#/documents")
    await expect(page.locator("table.document-list tbody tr").first).to_contain_text(
        "report 1999.txt"
    )
    await expect(page.get_by_text("100 documents loaded, there are more")).to_be_visible()
    assert len(asked) == 1
    for _ in range(2):
        await page.get_by_role("button", name="Older", exact=True).click()
    await expect(page.locator("table.document-list tbody tr").first).to_contain_text(
        "report 1899.txt"
    )

    await page.get_by_label("Find").fill("REPORT 19")
    await expect(page.get_by_text("1–50 of 111 found, of 2,000 documents")).to_be_visible()
    await page.get_by_role("button", name="Name").click()
    await expect(page.get_by_role("columnheader", name="Name")).to_have_attribute(
        "aria-sort", "ascending"
    )
    await expect(page.locator("table.document-list tbody tr").first).to_contain_text(
        "report 19.txt"
    )
    await page.get_by_label("Find").fill("report 77.")
    await expect(page.locator("table.document-list tbody tr")).to_have_count(1)
    await page.get_by_label("Status").select_option("failed")
    await expect(page.get_by_text("No document's name has “report 77.” in it.")).to_be_visible()

    await page.get_by_label("Status").select_option("")
    await page.get_by_label("Find").fill("report 100")
    await page.get_by_label("Select report 100.txt").check()
    await page.get_by_label("Select report 1000.txt").check()
    await page.get_by_role("button", name="Delete 2 documents").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Delete 2 documents?")
    await dialog.get_by_role("button", name="Delete 2 documents").click()
    await expect(page.get_by_text("2 documents deleted.")).to_be_visible()
    await expect(row(page, "report 100.txt")).to_have_count(0)
    await expect(page.get_by_text("1–9 of 9 found, of 1,998 documents")).to_be_visible()


async def test_loading_all_can_be_stopped(tab: Tab, stack: Stack) -> None:
    """What was loaded stays, and can be looked through."""
    record(stack, tab, [f"note {n}.txt" for n in range(300)])
    page = tab.page
    held: list[Any] = []
    asked = asyncio.Event()
    await page.route("**/documents?*cursor=*", lambda route: (held.append(route), asked.set()))
    await tab.open("#/documents")
    await expect(page.get_by_text("100 documents loaded")).to_be_visible()
    await page.get_by_label("Find").fill("note 29")
    await expect(page.get_by_text("100 documents loaded, loading all")).to_be_visible()
    async with asyncio.timeout(30):
        await asked.wait()
    await page.get_by_role("button", name="Stop loading").click()
    await held[0].continue_()
    await page.unroute("**/documents?*cursor=*")
    await expect(page.get_by_text("200 documents loaded, there are more")).to_be_visible()
    await page.get_by_label("Find").fill("note 2")
    await expect(page.get_by_text("of 300 documents")).to_be_visible()


async def test_a_document_shows_all_that_is_known_of_it(tabs: Tabs, tab: Tab) -> None:
    """Its checksum to copy, its file to download; it is asked about, and deleted."""
    page = tab.page
    await tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await tab.open("#/documents")
    name = "tidewater-library-notices.pdf"
    await choose(page, text(name, (SAMPLES / name).read_bytes()))
    await is_ready(page, name)
    await row(page, name).get_by_role("link").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(name)
    (known,) = (await tab.api("GET", "/api/v1/documents"))["documents"]
    for shown in (known["sha256"], known["document_id"], "PDF", "Ready"):
        await expect(page.locator("main")).to_contain_text(shown)
    assert await copied(page.get_by_role("button", name="Copy the SHA-256")) == known["sha256"]
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Download").click()
    downloaded = await downloading.value
    assert downloaded.suggested_filename == name
    assert (await downloaded.path()).read_bytes() == (SAMPLES / name).read_bytes()
    assert await faults(page) == {}

    ask = page.get_by_role("link", name="Ask about this document")
    assert await ask.get_attribute("href") == f"#/ask?document={known['document_id']}"
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await page.wait_for_url("**/console#/documents")
    await expect(page.get_by_text("No documents yet")).to_be_visible()
    await tab.open(f"#/documents/{known['document_id']}")
    await expect(page.get_by_role("heading", level=1)).to_have_text("No such document")


async def test_what_cannot_be_read_says_why(tab: Tab) -> None:
    """In the list of uploads, in that of documents, and on its own page."""
    page = tab.page
    await tab.open("#/documents")
    await choose(page, text("broken.pdf", b"%PDF-1.7 and then nothing of the kind"))
    await expect(row(page, "broken.pdf")).to_contain_text("Failed")
    (known,) = (await tab.api("GET", "/api/v1/documents"))["documents"]
    assert known["error"]
    await expect(row(page, "broken.pdf")).to_contain_text(known["error"])
    await expect(upload(page, "broken.pdf")).to_contain_text(known["error"])
    await row(page, "broken.pdf").get_by_role("link").click()
    await expect(page.locator("main .problem")).to_have_text(known["error"])
    await expect(page.get_by_role("link", name="Ask about this document")).to_have_count(0)


@pytest.mark.parametrize("size", [None, PHONE], ids=["wide", "phone"])
async def test_names_do_nothing_but_name(tabs: Tabs, stack: Stack, size: Any) -> None:
    """No markup, no turned text, nothing that pushes the page apart; be they uploaded or stored."""
    tab = await tabs() if size is None else await tabs(size=size, dark=True)
    page = tab.page
    record(stack, tab, HOSTILE, warnings=("Page 2 has no text.",))
    await tab.open("#/documents")
    await choose(page, *(text(name, f"text {n}") for n, name in enumerate(HOSTILE)))
    await expect(upload(page, "gpj.exe")).to_contain_text(
        "Its name has characters that are not shown"
    )
    for name in (HOSTILE[0], HOSTILE[3], HOSTILE[4]):
        await expect(upload(page, name)).to_contain_text("Ready")
    await expect(row(page, HOSTILE[0])).to_have_count(2)
    await expect(row(page, "\ufffdgpj.exe\ufffd and \ufffd more.txt")).to_contain_text("1 warning")
    assert await page.evaluate("[window.hurt, document.querySelectorAll('main img').length]") == [
        None,
        0,
    ]
    await settled(page)
    assert await faults(page) == {}
    assert await row(page, "gpj.exe").evaluate(OVERLAPS) == []
    await row(page, "gpj.exe").get_by_role("link").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("\ufffdgpj.exe")
    await expect(page.locator("main")).to_contain_text("Page 2 has no text.")
    assert await faults(page) == {}
