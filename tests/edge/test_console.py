"""The console as it is served: its page, its files, and what there is of it where it is off."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from blueprints.assets import Assets
from blueprints.console import STATIC, assets

from .conftest import Gateway, running_gateway
from .raw import Answer, exchange, request
from .stub_core import StubCore

CHECKOUT = Path(__file__).parents[2]
HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
FOR_GOOD = "public, max-age=31536000, immutable"


async def get(gateway: Gateway, target: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await exchange(gateway.address, request("GET", target, named))


def policy_of(answer: Answer) -> dict[str, str]:
    policy = answer.header("content-security-policy") or ""
    return dict(part.strip().split(" ", 1) for part in policy.split(";"))


def referenced(answer: Answer) -> set[str]:
    """The files that the page loads, as targets."""
    found = re.findall(r'(?:href|src)="(console/[^"]+)"', answer.body.decode())
    return {f"/{unescape(one)}" for one in found}


async def test_the_page_loads_files_of_its_own_alone(gateway: Gateway) -> None:
    """Each of them is there, no script or style stands in the page, and nothing may frame it."""
    page = await get(gateway, "/console")
    assert (page.status, page.header("content-type")) == (200, "text/html; charset=utf-8")
    html = page.body.decode()
    assert not re.search(r"<style|\son[a-z]+=|\sstyle=|<script(?! type=\"module\" src=)", html)
    assert not re.search(r"https?://|[\"'(=]//", html)
    targets = referenced(page)
    assert len(targets) > 8
    for target in targets:
        assert (await get(gateway, target)).status == 200, target
    policy = policy_of(page)
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert not re.search(r"unsafe|\*|blob:", " ".join(policy.values()))


@pytest.mark.parametrize(
    ("settings", "origins"),
    [
        ({"S3_PUBLIC_ENDPOINT": "https://s3.example.com"}, "https://s3.example.com"),
        ({"S3_PUBLIC_ENDPOINT": "https://S3.example.com:443"}, "https://s3.example.com"),
        ({"S3_ENDPOINT": "http://127.0.0.1:7070"}, "http://127.0.0.1:7070"),
    ],
)
async def test_it_sends_to_the_gateway_and_the_store_alone(
    core: StubCore, settings: dict[str, str], origins: str
) -> None:
    """The store's address as browsers know it, not the gateway's own way to it."""
    async with running_gateway(core, **settings) as gateway:
        policy = policy_of(await get(gateway, "/console"))
    assert policy["connect-src"] == f"'self' {origins}"


async def test_who_has_the_page_is_told_so(gateway: Gateway) -> None:
    """It is asked for at each visit, as a release brings another one, and rarely sent."""
    page = await get(gateway, "/console")
    assert page.header("cache-control") == "private, no-cache"
    same = await get(gateway, "/console", If_None_Match=page.header("etag") or "")
    assert (same.status, same.body) == (304, b"")
    compressed = await get(gateway, "/console", Accept_Encoding="gzip")
    assert gzip.decompress(compressed.body) == page.body
    assert compressed.header("etag") == page.header("etag")


async def test_files_are_kept_for_good_at_the_address_of_this_release(gateway: Gateway) -> None:
    """Another replica's digest gets this one's file, which nobody may keep there."""
    name = f"/console/assets/{assets().digest}/style.css"
    ours = await get(gateway, name)
    assert (ours.header("cache-control"), ours.header("vary")) == (FOR_GOOD, "Accept-Encoding")
    assert ours.body == (STATIC / "style.css").read_bytes()
    compressed = await get(gateway, name, Accept_Encoding="gzip, br")
    assert compressed.header("content-encoding") == "gzip"
    assert gzip.decompress(compressed.body) == ours.body
    others = await get(gateway, "/console/assets/0123456789abcdef/style.css")
    assert (others.body, others.header("cache-control")) == (ours.body, "no-store")


@pytest.mark.parametrize(
    "name",
    [
        *("nothing.js", "types.d.ts", "__init__.py", "", "screens", "screens/", "style.css/"),
        *("../__init__.py", "../../templates/console.html", "screens/../app.js", "%2e%2e/app.js"),
        *("..%2f__init__.py", "/etc/passwd", "%2fetc%2fpasswd", "app.js%00", "APP.JS", "./app.js"),
    ],
)
async def test_nothing_else_is_found_there(gateway: Gateway, name: str) -> None:
    """404 in the one error shape, or 400 where the target itself is none."""
    answer = await get(gateway, f"/console/assets/{assets().digest}/{name}")
    assert (answer.status, answer.code) in ((404, "NOT_FOUND"), (400, "MALFORMED_REQUEST"))


async def test_a_browser_is_led_to_it_from_the_root(gateway: Gateway) -> None:
    """A person who types the address sees the console; a program learns that nothing is there."""
    for target in ("/", "/?utm_source=mail"):
        led = await get(gateway, target, **HTML)
        assert (led.status, led.header("location"), led.header("vary")) == (
            303,
            "/console",
            "Accept",
        )
    assert (await get(gateway, "/console?utm_source=mail", **HTML)).status == 200
    for accepted in ("application/json", "*/*", "text/html;q=0"):
        answer = await get(gateway, "/", Accept=accepted)
        assert (answer.status, answer.code) == (404, "NOT_FOUND")


async def test_where_it_is_off_there_is_nothing_of_it(core: StubCore) -> None:
    async with running_gateway(core, CONSOLE="off") as gateway:
        for target in ("/console", f"/console/assets/{assets().digest}/app.js", "/"):
            answer = await get(gateway, target, **HTML)
            assert (answer.status, answer.code) == (404, "NOT_FOUND"), target


@pytest.mark.parametrize("switch", ["on", "off"])
def test_it_is_loaded_only_where_it_is_on_and_read_only_when_asked(switch: str) -> None:
    """A worker holds no file of it before the first visit."""
    script = (
        f"import sys; from gateway import app; sys.path.append({str(CHECKOUT)!r});"
        "from tests.unit import valid_settings;"
        f"app.create_app(valid_settings.load(GATEWAY_CONSOLE={switch!r}), name='small');"
        "console = sys.modules.get('blueprints.console');"
        "print(console and len(console.assets()._read))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == ("0" if switch == "on" else "None"), done.stderr


def test_the_digest_is_of_all_files(tmp_path: Path) -> None:
    """Whatever changes in one of them, all have other addresses: they import each other."""
    (tmp_path / "screens").mkdir()
    (tmp_path / "app.js").write_text('import "./dom.js";\n')
    (tmp_path / "dom.js").write_text("export const a = 1;\n")
    digests = {Assets(tmp_path).digest}
    for name in ("dom.js", "screens/ask.js"):
        (tmp_path / name).write_text("export const a = 2;\n")
        digests.add(Assets(tmp_path).digest)
    (tmp_path / "dom.js").rename(tmp_path / "moved.js")
    digests.add(Assets(tmp_path).digest)
    assert len(digests) == 4


def test_what_a_script_imports_at_once_is_known(tmp_path: Path) -> None:
    """The page asks for all of these together, and for no screen that is opened later."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "app.js").write_text(
        'import { a } from "./dom.js";\nimport {\n  b,\n} from "./parts/one.js";\n'
        'export * from "./parts/two.js";\nconst later = () => import("./later.js");\n'
    )
    (tmp_path / "parts" / "one.js").write_text('import { a } from "../dom.js";\n')
    for name in ("dom.js", "later.js", "parts/two.js"):
        (tmp_path / name).write_text("export const a = 1;\n")
    found = Assets(tmp_path).needed_by("app.js")
    assert found == ("app.js", "dom.js", "parts/one.js", "parts/two.js")


def test_every_import_of_the_console_leads_to_a_file_of_its_own() -> None:
    """Static or dynamic: a missing file would be noticed by the one who opens its screen."""
    names = set(assets().names)
    for name in names:
        if not name.endswith(".js"):
            continue
        text = re.sub(r"/\*.*?\*/", "", (STATIC / name).read_text("utf-8"), flags=re.DOTALL)
        for path in re.findall(r"""(?:from|import)\s*\(?\s*["']([^"']+)["']""", text):
            if path.startswith("node:"):
                continue  # of the client, where it runs in Node
            assert path.startswith("."), (name, path)
            found = (STATIC / name).parent.joinpath(path).resolve()
            assert found.relative_to(STATIC.resolve()).as_posix() in names, (name, path)


def test_no_script_of_it_makes_html_of_a_text() -> None:
    """Nor code, nor an element's listener: what a document says can only be shown."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
        r"|DOMParser|createContextualFragment|srcdoc|javascript:"
    )
    found = {
        name: forbidden.findall((STATIC / name).read_text("utf-8"))
        for name in assets().names
        if name.endswith(".js")
    }
    assert {name: told for name, told in found.items() if told} == {}


def test_every_file_of_it_is_installed() -> None:
    """In the wheel too, where ``STATIC`` is another folder than the checkout's."""
    checkout = CHECKOUT / "blueprints" / "console" / "static"
    in_checkout = {
        path.relative_to(checkout).as_posix()
        for path in checkout.rglob("*")
        if path.suffix in (".js", ".css", ".svg")
    }
    assert in_checkout == set(assets().names)
