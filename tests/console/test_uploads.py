"""Uploads in the console: chosen and dropped, refused, cut and resumed, cancelled, left alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from devstack.stack import Stack
from tests.system.people import until

from .documents_pages import (
    MIB,
    PART_BYTES,
    SAMPLES,
    WATCH_BARS,
    Network,
    bars,
    choose,
    drop,
    is_ready,
    large,
    part_is_there,
    parts_sent,
    row,
    text,
    upload,
)
from .tabs import PASSWORD, Tab, Tabs
from .test_screens import faults, picture, settled

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("console"),
]


async def test_files_and_a_folder_that_are_dropped_become_documents(
    tab: Tab, tmp_path: Path
) -> None:
    """All that can be read of a folder, nothing else; each has its bar, and all together."""
    for place in ("papers", "papers/old", "papers/.hidden"):
        (tmp_path / place).mkdir()
    for name in ("papers/new.md", "papers/old/old.txt", "papers/.hidden/no.txt", "papers/tool.exe"):
        (tmp_path / name).write_text(f"# {name}\n\nThis is in {name}.\n")
    page = tab.page
    await tab.open("#/documents")
    await page.evaluate(WATCH_BARS)
    await drop(page, SAMPLES / "tidewater-library-notices.pdf", tmp_path / "papers")
    for name in ("tidewater-library-notices.pdf", "papers/new.md", "papers/old/old.txt"):
        await expect(upload(page, name)).to_contain_text("Ready")
    await expect(page.get_by_text("3 files. 2 files of other kinds left out.")).to_be_visible()
    for name in ("tidewater-library-notices.pdf", "new.md", "old.txt"):
        await is_ready(page, name)
    seen = await bars(page)
    assert {"All uploads", "papers/new.md, how far it is"} <= seen.keys()
    assert seen["All uploads"] == sorted(seen["All uploads"])
    await settled(page)
    assert await faults(page) == {}
    await picture(tab, "console-documents-wide")


async def test_what_cannot_be_taken_is_refused_before_it_is_sent(tab: Tab) -> None:
    """By its kind or size, in words; what is there already is skipped, and so said."""
    page = tab.page
    await tab.open("#/documents")
    await choose(page, text("first.txt", "The bytes."))
    await is_ready(page, "first.txt")
    announced: list[str] = []
    page.on("request", lambda one: announced.append(one.method) if one.method == "POST" else None)
    await choose(
        page, text("tool.exe", "MZ"), text("empty.txt", ""), text("again.txt", "The bytes.")
    )
    await expect(upload(page, "tool.exe")).to_contain_text(
        "Files of this kind are not taken. Taken are"
    )
    await expect(upload(page, "tool.exe")).to_contain_text("PDF (.pdf)")
    await expect(upload(page, "empty.txt")).to_contain_text("It is empty.")
    await expect(upload(page, "again.txt")).to_contain_text("It is there already, as first.txt.")
    assert announced == []
    assert await faults(page) == {}
    await page.get_by_role("button", name="Clear the list").click()
    await expect(page.get_by_role("region", name="Uploads")).to_be_hidden()
    twice = [text("one.txt", "The same."), text("two.txt", "The same.")]
    await choose(page, *twice)
    await expect(page.get_by_text("which you chose, too.")).to_be_visible()
    await expect(row(page, "two.txt").or_(row(page, "one.txt"))).to_have_count(1)


async def once_held(route: Any, method: str, held: list[Any]) -> None:
    """Keeps the first request of a method to the store, and lets all else pass."""
    is_meant = route.request.method == method and "/api/" not in route.request.url
    if is_meant and not held:
        held.append(route)
    else:
        await route.continue_()


async def both_are_held(*held: list[Any]) -> bool:
    return all(held)


async def test_a_lost_network_is_told_and_uploads_go_on_when_it_is_back(tab: Tab) -> None:
    """In parts where they stopped, as a form from the start."""
    page = tab.page
    await tab.open("#/documents")
    network = await Network.of(tab)
    forms: list[Any] = []
    parts: list[Any] = []
    await page.route("**/documents", lambda route: once_held(route, "POST", forms))
    await page.route("**/*partNumber=2&*", lambda route: once_held(route, "PUT", parts))
    numbers = parts_sent(page)
    # One part is there; the other one and the form are on their way.
    async with part_is_there(page, 1):
        await choose(
            page, text("form.txt", "As a form."), large("parts.pdf", PART_BYTES + 2 * MIB, "parts")
        )
    await until(lambda: both_are_held(forms, parts))
    await network.lost()
    for route in (*forms, *parts):
        await route.abort("internetdisconnected")
    await expect(upload(page, "parts.pdf")).to_contain_text(
        "The connection was lost. It goes on where it stopped."
    )
    await expect(upload(page, "form.txt")).to_contain_text("It will begin again from the start.")
    numbers.clear()
    await network.back()
    for name in ("form.txt", "parts.pdf"):
        await is_ready(page, name)
    assert set(numbers) == {"2"}
    # Nothing is left of the form that was begun before.
    known = (await tab.api("GET", "/api/v1/documents"))["documents"]
    assert sorted(one["filename"] for one in known) == ["form.txt", "parts.pdf"]


async def test_a_store_that_was_gone_is_tried_again_by_itself(tab: Tab, stack: Stack) -> None:
    """The browser has a network all the while, so that nothing tells it when to."""
    page = tab.page
    to_store = f"{stack.address('s3')}/**"
    await page.route(to_store, lambda route: route.abort("connectionrefused"))
    await tab.open("#/documents")
    await choose(page, text("late.txt", "It came late."))
    await expect(upload(page, "late.txt")).to_contain_text("The connection was lost.")
    await page.unroute(to_store)
    await is_ready(page, "late.txt")
    known = (await tab.api("GET", "/api/v1/documents"))["documents"]
    assert [one["filename"] for one in known] == ["late.txt"]


class Processing:
    """What a tab is told of its document: that it is being indexed, or nothing, or the truth."""

    def __init__(self) -> None:
        self.is_lost = self.is_over = False
        self.refused = 0

    async def answer(self, route: Any) -> None:
        if self.is_lost:
            self.refused += 1
            await route.abort("internetdisconnected")
        elif self.is_over:
            await route.continue_()
        else:
            id_ = route.request.url.rpartition("/")[2]
            known = {"document_id": id_, "filename": "read.txt", "size": 14}
            state = {"status": "processing", "stage": "indexing"}
            await route.fulfill(json={**known, **state, "created_at": "2026-01-01T00:00:00Z"})

    async def was_given_up(self) -> bool:
        """The client asks three times in all."""
        return self.refused >= 3


async def test_what_is_processed_while_there_is_no_network_is_told_later(tab: Tab) -> None:
    """The file is sent, then nobody answers for a while: its line goes on by itself."""
    page = tab.page
    processing = Processing()
    await page.route(re.compile("/api/v1/documents/[0-9a-f-]{36}$"), processing.answer)
    await tab.open("#/documents")
    await choose(page, text("read.txt", "In peace."))
    await expect(upload(page, "read.txt")).to_contain_text("Indexing")
    processing.is_lost = True
    await until(processing.was_given_up)
    await expect(upload(page, "read.txt")).to_contain_text("Indexing")
    processing.is_lost, processing.is_over = False, True
    await expect(upload(page, "read.txt")).to_contain_text("Ready")
    await is_ready(page, "read.txt")


async def test_an_upload_goes_on_beside_other_screens_and_after_the_page_was_left(tab: Tab) -> None:
    """Leaving asks first; the same file chosen again sends only what is missing."""
    page = tab.page
    file = large("two parts.pdf", PART_BYTES + 2 * MIB, "two parts")
    held: list[Any] = []
    await page.route("**/*partNumber=2&*", lambda route: held.append(route))
    await tab.open("#/documents")
    async with part_is_there(page, 1):
        await choose(page, file)
    await page.get_by_role("link", name="Usage").click()
    await expect(page.get_by_role("link", name="Uploading 1 file")).to_be_visible()
    await page.get_by_role("link", name="Uploading 1 file").click()
    await expect(upload(page, "two parts.pdf")).to_contain_text("Sending")

    asked: list[str] = []

    async def leave(dialog: Any) -> None:
        asked.append(dialog.type)
        await dialog.accept()

    page.on("dialog", leave)
    await page.reload()
    assert asked == ["beforeunload"]
    await page.unroute("**/*partNumber=2&*")
    await expect(page.get_by_text("Choose the same file again, and it goes on.")).to_be_visible()
    await expect(page.get_by_role("region", name="Interrupted uploads")).to_contain_text(
        "71 % of 7 MiB sent"
    )
    numbers = parts_sent(page)
    await choose(page, file)
    await is_ready(page, "two parts.pdf")
    assert numbers == ["2"]
    await expect(page.get_by_role("region", name="Interrupted uploads")).to_have_count(0)


async def test_signing_out_ends_uploads_and_forgets_them(tab: Tab) -> None:
    """Also what would go on after a reload; whoever signs in next finds nothing of it."""
    page = tab.page
    held: list[Any] = []
    await page.route("**/*partNumber=3*", lambda route: held.append(route))
    await tab.open("#/documents")
    async with part_is_there(page, 1), part_is_there(page, 2):
        await choose(page, large("secret plan.pdf", 2 * PART_BYTES + MIB, "secret"))
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", level=1, name="Sign in")).to_be_visible()
    await expect(page.locator(".upload-indicator:visible")).to_have_count(0)
    kept = "() => JSON.stringify({...sessionStorage}) + document.documentElement.outerHTML"
    assert "secret plan" not in await page.evaluate(kept)
    await page.get_by_label("Name").fill(tab.name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.get_by_role("link", name="Documents").click()
    await expect(page.get_by_role("heading", level=1, name="Documents")).to_be_visible()
    await expect(page.get_by_role("region", name="Interrupted uploads")).to_have_count(0)
    assert "secret plan" not in await page.evaluate("JSON.stringify({...sessionStorage})")


async def test_uploads_are_cancelled_one_by_one_or_all(tab: Tab, stack: Stack) -> None:
    """Nothing of them stays: neither at the store nor in the list."""
    page = tab.page
    held: list[Any] = []
    store = stack.address("s3")
    await page.route(lambda url: url.startswith(store), lambda route: held.append(route))
    await tab.open("#/documents")
    await choose(page, *(text(f"{n}.txt", f"Number {n}.") for n in range(6)))
    await expect(page.get_by_text("Sending,")).to_have_count(3)
    await page.get_by_role("button", name="Cancel: 1.txt").click()
    await expect(upload(page, "1.txt")).to_contain_text("Cancelled")
    await expect(page.get_by_text("Sending,")).to_have_count(3)
    await page.get_by_role("button", name="Cancel all").click()
    await expect(page.get_by_text("Cancelled")).to_have_count(6)
    await expect(page.get_by_text("No documents yet")).to_be_visible()

    async def is_empty() -> bool:
        return (await tab.api("GET", "/api/v1/documents"))["documents"] == []

    await until(is_empty)


async def test_who_may_not_upload_is_told_so(tabs: Tabs) -> None:
    reader = await tabs("reader")
    await reader.open("#/documents")
    await choose(reader.page, text("mine.txt", "Mine."))
    await expect(upload(reader.page, "mine.txt")).to_contain_text("Not sent.")
    await expect(upload(reader.page, "mine.txt")).to_contain_text("not allowed")
