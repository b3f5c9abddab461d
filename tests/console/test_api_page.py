"""The API page in a real Chromium: each kind of call is sent from it, and its answer shown."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import Locator, Page, Route, expect

from .tabs import PASSWORD, Tab, Tabs
from .test_screens import LOOKS, faults, picture

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("console"),
]

DOCUMENTS = "api_v1_documents_get"
ANNOUNCE = "api_v1_documents_post"
LOGIN = "api_v1_auth_login_post"
ME = "api_v1_auth_me_get"
PROBE = "api_v1_probe_get"
QUERY = "api_v1_query_post"
HOSTILE = '<img src=x onerror="window.hacked = 1"></script><script>window.hacked = 2</script>'


async def opened(tab: Tab, operation: str) -> Locator:
    """An operation of the page, by its own address."""
    await tab.page.goto(f"{tab.base_url}/docs#{operation}")
    box = tab.page.locator(f"#{operation}")
    await expect(box.get_by_role("button", name="Send")).to_be_visible()
    return box


async def signed_in(tab: Tab, operation: str) -> Locator:
    """The same with the console's token of this tab."""
    box = await opened(tab, operation)
    await tab.page.get_by_role("button", name="Take the console's").click()
    return box


async def send(box: Locator) -> Locator:
    """Sends what is filled in; what is answered."""
    await box.get_by_role("button", name="Send").click()
    return box.get_by_role("group", name="Answer")


async def stored(page: Page) -> dict[str, str]:
    found: dict[str, str] = await page.evaluate("({...localStorage})")
    return found


async def test_a_get_is_sent_with_what_was_filled_in_and_the_readers_token(tab: Tab) -> None:
    """Status, headers and JSON are shown; curl's line has the token where that is asked for."""
    box = await signed_in(tab, DOCUMENTS)
    await box.get_by_label("limit query").fill("5")
    line = box.get_by_role("group", name="curl")
    await expect(line).to_contain_text(f'"{tab.base_url}/api/v1/documents?limit=5"')
    await expect(line).to_contain_text("Bearer $TOKEN")
    assert tab.token not in await line.inner_text()
    answer = await send(box)
    await expect(answer).to_contain_text("200 OK")
    await expect(answer.get_by_role("group", name="Body")).to_contain_text('"documents": []')
    await answer.locator("summary").click()
    await expect(answer.get_by_role("row", name="x-request-id")).to_be_visible()
    await box.get_by_label("with my token in it").check()
    await expect(line).to_contain_text(tab.token)
    assert await stored(tab.page) == {}


async def test_a_post_is_sent_with_its_body_and_a_login_gives_the_token(tabs: Tabs) -> None:
    """The example is made of the schema; what is no JSON is told, and may be sent all the same."""
    stranger, somebody = await tabs.stranger(), await tabs()
    box = await opened(stranger, LOGIN)
    body = box.get_by_label("Body JSON")
    assert set(json.loads(await body.input_value())) == {"username", "password"}
    await body.fill("{")
    await expect(box.get_by_text("This is no JSON")).to_be_visible()
    await expect(await send(box)).to_contain_text("VALIDATION_ERROR")
    await body.fill(json.dumps({"username": somebody.name, "password": PASSWORD}))
    answer = await send(box)
    await answer.get_by_role("button", name="Use this token").click()
    await stranger.page.goto(f"{stranger.base_url}/docs#{ME}")
    me = await send(stranger.page.locator(f"#{ME}"))
    await expect(me.get_by_role("group", name="Body")).to_contain_text(somebody.name)


async def test_a_stream_is_shown_as_it_comes_and_can_be_stopped(tab: Tab) -> None:
    """The first event is there while the second is seconds away; what came stays."""
    box = await signed_in(tab, PROBE)
    await box.get_by_label("events query").fill("1")
    await box.get_by_label("silence_ms query").fill("15000")
    answer = await send(box)
    events = answer.get_by_role("group", name="Events")
    first = events.get_by_role("listitem").filter(has_text="probe")
    await expect(first).to_contain_text('"n": 0')
    await expect(events.get_by_role("listitem").first).to_contain_text("comment")
    stop = box.get_by_role("button", name="Stop")
    await expect(stop).to_be_focused()
    await stop.press("Enter")
    await expect(answer.get_by_role("status")).to_contain_text("Stopped by you: 1 event")
    await expect(box.get_by_role("button", name="Send")).to_be_focused()
    await box.get_by_label("silence_ms query").fill("0")
    answer = await send(box)
    await expect(answer.get_by_role("status")).to_contain_text("the last is done")


async def test_a_refusal_is_told_in_words(tabs: Tabs) -> None:
    """Each wrong field with what was expected of it; without a token where to give one."""
    tab = await tabs()
    box = await opened(tab, QUERY)
    answer = await send(box)
    await expect(answer).to_contain_text("401")
    await answer.get_by_role("link", name="Give a token").click()
    await expect(tab.page.get_by_label("Token or API key")).to_be_focused()
    await tab.page.keyboard.type(f"Bearer {tab.token}")
    await box.get_by_label("Body JSON").fill('{"query": "x", "top_k": 99}')
    answer = await send(box)
    await expect(answer.get_by_role("row", name="top_k")).to_contain_text("50")
    await expect(answer).to_contain_text("VALIDATION_ERROR")


async def test_what_an_answer_holds_is_text(tab: Tab) -> None:
    """Neither JSON, nor an event, a comment, an error or a header becomes a part of the page."""
    error = {"code": HOSTILE, "message": HOSTILE, "details": {"fields": {HOSTILE: HOSTILE}}}

    async def in_json(route: Route) -> None:
        head = {"X-Request-ID": HOSTILE}
        await route.fulfill(status=400, json={"error": error}, headers=head)

    async def in_events(route: Route) -> None:
        told = f"event: {HOSTILE}\ndata: {HOSTILE}\n\n: {HOSTILE}\n\n"
        told += f"event: error\ndata: {json.dumps({'error': error})}\n\n"
        await route.fulfill(body=told, content_type="text/event-stream")

    await tab.page.route("**/api/v1/auth/me", in_json)
    await tab.page.route("**/api/v1/probe", in_events)
    for operation in (ME, PROBE):
        answer = await send(await opened(tab, operation))
        await expect(answer.locator(".problem")).to_contain_text("<img")
        assert await answer.locator("img, script").count() == 0
    assert await tab.page.evaluate("window.hacked") is None


async def test_what_goes_to_the_object_store_is_explained(tab: Tab) -> None:
    """The page may talk to the gateway alone; the reader gets the line to send it with."""
    box = await signed_in(tab, ANNOUNCE)
    announced = {"filename": "a'b.txt", "content_type": "text/plain", "size": 3}
    await box.get_by_label("Body JSON").fill(json.dumps(announced))
    answer = await send(box)
    await expect(answer.get_by_role("group", name="Upload")).to_contain_text("-F file=@FILE")
    await expect(box.get_by_role("group", name="curl")).to_contain_text("a'\\''b.txt")


async def test_an_operation_is_found_by_words_and_by_keys(tab: Tab) -> None:
    """The slash leads to the search; parts without a hit are gone; Control and Enter send."""
    page = tab.page
    await opened(tab, ME)
    await page.keyboard.press("/")
    await page.keyboard.type("documents delete")
    await expect(page.get_by_text("1 found")).to_be_visible()
    await expect(page.locator("details.operation:visible")).to_have_count(1)
    await expect(page.get_by_role("heading", level=2)).to_have_text("documents")
    await page.get_by_label("Find an operation").fill("")
    box = await opened(tab, QUERY)
    await box.get_by_label("Body JSON").press("Control+Enter")
    await expect(box.get_by_role("group", name="Answer")).to_contain_text("401")


@pytest.mark.parametrize("look", LOOKS)
async def test_nothing_stands_in_the_way_of_anybody(tabs: Tabs, look: str) -> None:
    """axe finds nothing, and nothing is wider than the window, with operations and answers open."""
    size, dark = LOOKS[look]
    tab = await tabs(size=size, dark=dark)
    await send(await signed_in(tab, PROBE))
    answer = await send(await opened(tab, QUERY))
    await expect(answer.get_by_role("group", name="Events")).to_contain_text("done")
    assert await faults(tab.page) == {}
    await picture(tab, f"api-page-{look.replace(', ', '-')}")
