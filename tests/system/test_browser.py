"""A page of another origin in a real Chromium, against the real line: what browsers insist on."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from devstack.components import Missing
from devstack.environment import ADMIN
from devstack.stack import Stack
from tests.components import missing_components

from .browser.chromium import Browser, Page, find_chromium
from .browser.page_server import FIRST_WORDS, LIMIT_S, OTHER_WORDS, PageServer
from .people import until

SOCKETS_PAGE = Path(__file__).parents[2] / "docs" / "websocket.md"
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pages() -> AsyncIterator[PageServer]:
    async with PageServer.started() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def line(pages: PageServer) -> AsyncIterator[Stack]:
    """A stack that admits the pages' first origin, and whose answers the page server writes."""
    find_chromium()
    running = Stack(
        choices={"opa": "real", "s3": "real"},
        gateway_settings={
            "GATEWAY_CORS_ORIGINS": pages.origin,
            "GATEWAY_CORS_HEADERS": "X-Client-Version",
            "GATEWAY_UPLOAD_MULTIPART_THRESHOLD": "6MiB",
            "GATEWAY_UPLOAD_PART_SIZE": "5MiB",
        },
        core_settings={
            "CORE_OPENAI_BASE_URL": f"{pages.origin}/v1",
            "CORE_OPENAI_MODEL": "page-server",
        },
    )
    try:
        await running.__aenter__()
    except Missing as error:
        missing_components(error)
    try:
        pages.config = {
            "gateway": running.base_url,
            "s3": running.address("s3"),
            "username": ADMIN,
            "password": running.secrets.admin_password,
        }
        pages.config["token"] = await _token(running)
        yield running
    finally:
        await running.__aexit__(None, None, None)


async def _token(stack: Stack) -> str:
    login = {"username": ADMIN, "password": stack.secrets.admin_password}
    async with httpx.AsyncClient(base_url=stack.base_url, timeout=30, trust_env=False) as http:
        answer = await http.post("/auth/login", json=login)
    token: str = answer.json()["access_token"]
    return token


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with Browser.started(find_chromium()) as running:
        yield running


async def test_a_page_of_an_allowed_origin_does_the_whole_job(
    line: Stack, pages: PageServer, browser: Browser
) -> None:
    """From login to deletion across origins; the first token is there before the last is made."""
    async with browser.page(pages.address("main_line")) as page:
        told = await pages.report("main_line")

        # Preflights are told by another process than the page's, and its report may be the faster.
        async def preflight_is_told() -> bool:
            return f"OPTIONS {line.base_url}/api/v1/query" in page.requests()

        await until(preflight_is_told)
        preflights = [one for one in page.requests() if one.startswith("OPTIONS ")]
    assert (told["upload_method"], told["uploaded"]) == ("POST", 204)
    assert told["completed"] == "processing"
    assert told["document"]["status"] == "indexed", told["document"]
    assert told["document"]["filename"] == "Ein Leuchtturm – €.txt"
    assert told["asked"]["status"] == 200
    assert told["asked"]["type"] == "text/event-stream; charset=utf-8"
    names = [event["name"] for event in told["asked"]["events"]]
    assert names[:2] == ["meta", "sources"]
    assert names[-2:] == ["usage", "done"]
    tokens = [one["data"]["text"] for one in told["asked"]["events"] if one["name"] == "token"]
    assert tokens == [FIRST_WORDS, *OTHER_WORDS]
    assert "citation" in names
    assert "Ein Leuchtturm – €.txt" in told["listed"]
    assert (told["deleted"], told["gone"], told["gone_code"]) == (204, 404, "NOT_FOUND")
    assert told["gone_request_id"]
    # The form goes to S3 with none: it is a "simple" request. The second question needs no second.
    gateway = f"OPTIONS {line.base_url}"
    assert all(one.startswith(gateway) for one in preflights), preflights
    assert preflights.count(f"{gateway}/api/v1/query") == 1


async def test_parts_and_put_show_the_page_their_etags(
    line: Stack, pages: PageServer, browser: Browser
) -> None:
    """Completing an upload in parts needs each part's ETag, which S3 must expose to the page."""
    async with browser.page(pages.address("parts")):
        told = await pages.report("parts")
    parts, put = told["parts"], told["put"]
    assert parts["method"] == "MULTIPART"
    assert [one["n"] for one in parts["done"]] == [1, 2]
    assert all(one["etag"] for one in parts["done"])
    assert (parts["completed"], parts["deleted"]) == (202, 204)
    assert (put["sent"], put["completed"], put["deleted"]) == (200, 202, 204)
    assert put["etag"]


async def test_the_typescript_client_does_it_in_a_page(
    line: Stack, pages: PageServer, browser: Browser
) -> None:
    """Across origins: hashed in a worker, sent in parts that go on, asked about, left, refused."""
    pages.model_left.clear()
    async with browser.page(pages.address("typescript")) as page:
        told = await pages.report("typescript")
        assert any(one.endswith("/uploads/sha256_worker.js") for one in page.requests())
    form, parts = told["form"], told["parts"]
    assert (form["document"]["status"], form["isTheSame"]) == ("indexed", True), form
    answer = form["answer"]
    assert [answer["names"][i] for i in (0, 1, -1)] == ["meta", "sources", "done"]
    assert answer["answer"] == FIRST_WORDS + "".join(OTHER_WORDS)
    assert (answer["from"], answer["requestId"]) == ("Ein Leuchtturm – €.md", "string")
    assert all(answer["parts"])
    assert form["url"].startswith(line.address("s3"))
    assert form["last"]["sent"] == form["last"]["total"] == form["last"]["read"]
    assert (form["found"], form["listed"]) == ("Ein Leuchtturm – €.md", True)
    assert form["gone"] == ["NOT_FOUND", 404, "string"]
    assert form["left"] == [3, None]
    async with asyncio.timeout(LIMIT_S):
        await pages.model_left.wait()
    assert (parts["stopped"], parts["isOne"], parts["first"]) == ("AbortError", True, True)
    assert (parts["sha256"], parts["last"]) == (parts["expected"], True)
    assert parts["read"] > 1, "the checksum's progress is told, too"
    assert told["refused"] == ["INVALID_CREDENTIALS", 401, "ConnectionBroken"]
    loaded = {Path(path).name for path in told["loaded"]}
    assert loaded >= {"upload.js", "blob_source.js"}
    assert loaded.isdisjoint({"node_source.js", "openapi.js", "models.js"})


async def test_a_page_can_read_why_it_was_refused(
    line: Stack, pages: PageServer, browser: Browser
) -> None:
    """Errors carry the CORS headers too; without them a page sees a network error and no reason."""
    async with browser.page(pages.address("refusals")):
        told = await pages.report("refusals")
    read = told["read"]
    assert {name: (one["status"], one.get("code")) for name, one in read.items()} == {
        "wrong_password": (401, "INVALID_CREDENTIALS"),
        "no_credential": (401, "UNAUTHENTICATED"),
        "nonsense": (400, "VALIDATION_ERROR"),
        "no_such_route": (404, "NOT_FOUND"),
        "no_such_method": (405, "METHOD_NOT_ALLOWED"),
        "too_large": (413, "PAYLOAD_TOO_LARGE"),
        "long_address": (414, "URI_TOO_LONG"),
        "with_api_key": (200, None),
        "with_request_id": (200, None),
        "with_tools": (200, None),
    }
    assert all(one["same_id"] for one in read.values() if one["code"])
    assert read["with_request_id"]["request_id"] == "from-a-page"
    assert read["no_credential"]["www_authenticate"].startswith("Bearer")
    # Methods and headers that are not listed, and cookies, don't get past the preflight.
    assert [told[name] for name in ("other_method", "other_header", "with_cookies")] == [None] * 3


async def test_a_page_that_leaves_ends_the_answer_at_its_source(
    line: Stack, pages: PageServer, browser: Browser
) -> None:
    """Aborting the fetch closes the whole chain: gateway, core and model."""
    async with browser.page(pages.address("leaves")):
        told = await pages.report("leaves")
        async with asyncio.timeout(LIMIT_S):
            await pages.model_left.wait()
    assert told == {"tokens": 3, "ended": "AbortError"}


async def test_a_page_of_another_origin_gets_nothing(
    line: Stack, pages: PageServer, browser: Browser
) -> None:
    """Even with a token that is good: the browser keeps back what no header lets it hand over."""
    async with browser.page(pages.address("stranger", pages.stranger)) as page:
        told = await pages.report("stranger")

        # The page's report comes by another way than the browser's events, and may be the faster.
        async def all_refused() -> bool:
            return len(_cors_failures(page)) == len(told)

        await until(all_refused)
        sent = page.requests()
        reasons = {one["corsErrorStatus"]["corsError"] for one in _cors_failures(page)}
    assert set(told.values()) == {None}, told
    # The token and the password never left: the preflight was all that was sent.
    assert f"GET {line.base_url}/healthz" in sent
    assert reasons <= {"MissingAllowOriginHeader", "PreflightMissingAllowOriginHeader"}


def _cors_failures(page: Page) -> list[dict[str, dict[str, str]]]:
    return [one for one in page.named("Network.loadingFailed") if "corsErrorStatus" in one]


async def test_a_page_asks_over_a_websocket_as_the_docs_show(
    line: Stack, pages: PageServer, browser: Browser
) -> None:
    """Chromium's own, with the function of ``docs/websocket.md`` as it stands there."""
    function = re.search(r"```js\n(.*?)```", SOCKETS_PAGE.read_text("utf-8"), re.S)
    assert function is not None
    url = line.base_url.replace("http://", "ws://") + "/api/v1/query/ws"

    def call(token: str) -> str:
        given = json.dumps([url, token, "Is there anything about a lighthouse in Ushuaia?"])
        return f"""(async () => {{
            {function[1]}
            const texts = [];
            try {{
                const done = await ask(...{given}, (text) => texts.push(text));
                return {{ done, text: texts.join("") }};
            }} catch (error) {{
                return {{ failed: error.message }};
            }}
        }})()"""

    async with browser.page(pages.address("none")) as page:
        told = await page.evaluate(call(pages.config["token"]))
        assert told.get("done"), told
        assert told["text"]
        refused = await page.evaluate(call("nonsense"))
        assert refused == {"failed": "4401 UNAUTHENTICATED"}
    async with browser.page(pages.address("none", pages.stranger)) as page:
        assert await page.evaluate(call(pages.config["token"])) == {"failed": "1006 "}


async def test_the_docs_page_shows_every_route_and_asks_nobody_else(
    line: Stack, browser: Browser
) -> None:
    """No request leaves the gateway's origin, its own policy holds against nothing, and it fits."""
    async with httpx.AsyncClient(base_url=line.base_url, trust_env=False) as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    # HEAD is shown with its GET.
    routes = sum(len(methods.keys() - {"head"}) for methods in paths.values())
    async with browser.page(f"{line.base_url}/docs") as page:
        shown = "document.querySelectorAll('main details').length"

        async def all_shown() -> bool:
            return bool(await page.evaluate(shown) == routes)

        await until(all_shown)
        await page.evaluate(
            "document.querySelectorAll('details').forEach((one) => one.open = true)"
        )
        for width in (1280, 360):
            await page.resize(width, 800)
            assert await page.evaluate("document.scrollingElement.scrollWidth") <= width
        text = await page.evaluate("document.body.innerText")
        asked, complaints = page.requests(), page.complaints()
    assert "/api/v1/query" in text
    assert {urlsplit(one.split()[1]).netloc for one in asked} == {urlsplit(line.base_url).netloc}
    assert complaints == []
