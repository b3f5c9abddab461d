"""The gRPC listener of ``gateway serve``, as others use it: tools, pages, many clients, a stop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_tools import protoc

from devstack.components import Missing, find_program
from gateway.edge.grpc.proto import query_pb2
from tests.certificates import Authority, client
from tests.components import missing_components

from .doors import all_open
from .grpc_client import Failure, asking, call, channel, rest
from .keeping_core import After, KeepingCore, Visit, keeping_core
from .raw import TIMEOUT_S
from .served import Served, free_port, served, until
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk
from .test_mcp_client import SOURCES
from .test_socket_served import output
from .test_tls import https

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "grpc.md"
QUERY = "knowledge.gateway.v1.QueryService"
ASKED = '{"query": "hi"}'


def program(name: str) -> str:
    found = find_program(name)
    if found is None:
        missing_components(Missing(f"{name}: not found; `python -m devstack.fetch {name}`"))
    return str(found)


def example(language: str, begins: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    (found,) = [block for block in blocks if block.startswith(begins)]
    return str(found)


def with_programs() -> str:
    """``PATH`` with the folder of what was built for the tests."""
    return f"{Path(program('grpcurl')).parent}{os.pathsep}{os.environ['PATH']}"


# --- other clients --------------------------------------------------------------------------------


async def test_grpcurl_learns_the_services_and_asks(core: StubCore, tmp_path: Path) -> None:
    """By reflection, with no proto at hand; the page's own line for a terminal."""
    core.sends(STREAM_HEAD, chunk(META + TOKEN + DONE), END)
    grpcurl = program("grpcurl")
    async with served(core, tmp_path, 1, **all_open()) as running:
        target = f"127.0.0.1:{running.grpc_port}"
        status, told = await output(grpcurl, "-plaintext", target, "list")
        assert (status, told.split()) == (
            0,
            [
                "grpc.health.v1.Health",
                "grpc.reflection.v1alpha.ServerReflection",
                *(
                    f"knowledge.gateway.v1.{name}Service"
                    for name in ("Auth", "Documents", "Keys", "Query", "Search")
                ),
            ],
        )
        status, told = await output(grpcurl, "-plaintext", target, "describe", QUERY)
        assert status == 0, told
        assert "returns ( stream .knowledge.gateway.v1.AskResponse )" in told
        script = example("sh", "grpcurl -plaintext -H")
        known = f"PATH={with_programs()} TOKEN={running.token} GRPC={target}\nexport PATH\n"
        status, told = await output("sh", "-c", known + script)
        assert status == 0, told
        assert '"text": "hello"' in told
        assert told.index('"meta"') < told.index('"token"') < told.index('"done"')
        status, told = await output(grpcurl, "-plaintext", "-d", ASKED, target, f"{QUERY}/Ask")
        assert status != 0
        assert "Unauthenticated" in told
        assert '"reason": "UNAUTHENTICATED"' in told


async def test_the_pages_example_for_code_works(core: StubCore, tmp_path: Path) -> None:
    """As it stands on the page, with the code that its readers make of the protos."""
    core.sends(STREAM_HEAD, chunk(META + SOURCES + TOKEN + DONE), END)
    made = (f"-I{CHECKOUT / 'proto'}", f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}")
    protos = sorted(map(str, (CHECKOUT / "proto/knowledge/gateway/v1").glob("*.proto")))
    assert protoc.main(["protoc", *made, *protos]) == 0
    file = tmp_path / "example.py"
    file.write_text(example("python", "import asyncio"), "utf-8")
    async with served(core, tmp_path, 1, **all_open()) as running:
        called = (sys.executable, str(file), f"127.0.0.1:{running.grpc_port}")
        assert await output(*called, running.token) == (0, "[tea.pdf] hello")
        status, told = await output(*called, "nonsense")
        assert status != 0
        assert told.startswith("UNAUTHENTICATED ")


@contextlib.asynccontextmanager
async def web_proxy(running: Served, tmp_path: Path) -> AsyncIterator[str]:
    """``grpcwebproxy`` before the gateway, as the page has it; its URL."""
    port = free_port()
    script = example("sh", "grpcwebproxy").replace("8081", str(port))
    script = script.replace("grpcwebproxy", f"exec {program('grpcwebproxy')}", 1)
    with (tmp_path / "proxy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", script),
            env={**os.environ, "GRPC": f"127.0.0.1:{running.grpc_port}"},
            stdout=log,
            stderr=log,
        )
    try:
        await until(lambda: "listening" in (tmp_path / "proxy.log").read_text())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """What a body of gRPC-Web holds: 0 and a message each, 128 and the trailers."""
    found, at = [], 0
    while at < len(body):
        size = int.from_bytes(body[at + 1 : at + 5])
        found.append((body[at], body[at + 5 : at + 5 + size]))
        at += 5 + size
    return found


async def test_a_page_asks_by_grpc_web(core: StubCore, tmp_path: Path) -> None:
    """Through a proxy: events as they come, then the status; a refusal with its details."""
    core.sends(STREAM_HEAD, chunk(META + TOKEN + DONE), END)
    question = query_pb2.AskRequest(query="hi").SerializeToString()
    body = b"\0" + len(question).to_bytes(4) + question
    async with (
        served(core, tmp_path, 1, **all_open()) as running,
        web_proxy(running, tmp_path) as url,
        httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as page,
    ):
        head = {
            "Origin": "https://app.example.com",
            "Content-Type": "application/grpc-web+proto",
            "X-Grpc-Web": "1",
        }
        known = {**head, "Authorization": f"Bearer {running.token}"}
        answer = await page.post(f"/{QUERY}/Ask", content=body, headers=known)
        *messages, (last, trailers) = frames(answer.content)
        events = [query_pb2.AskResponse.FromString(one).events for _, one in messages]
        told = [event.WhichOneof("kind") for together in events for event in together]
        assert (told, last) == (["meta", "token", "done"], 128)
        assert b"grpc-status: 0" in trailers.lower()
        refused = await page.post(f"/{QUERY}/Ask", content=body, headers=head)
        told = {name.lower(): text for name, text in refused.headers.items()}
        for _, trailers in frames(refused.content):
            lines = re.findall(r"([\w-]+): ?(.*)\r\n", trailers.decode())
            told |= {name.lower(): text for name, text in lines}
        assert told["grpc-status"] == str(grpc.StatusCode.UNAUTHENTICATED.value[0])
        details = base64.b64decode(told["grpc-status-details-bin"] + "==")
        assert b"UNAUTHENTICATED" in details


# --- many clients, and a stop ---------------------------------------------------------------------


@pytest.fixture
async def keeping() -> AsyncIterator[KeepingCore]:
    async with keeping_core() as running:
        yield running


async def test_five_hundred_answers_at_once_end_well(keeping: KeepingCore, tmp_path: Path) -> None:
    """On ten connections, over two workers: each client is told all of its own answer."""
    go_on = asyncio.Event()

    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(META), 1 << 20)
        await go_on.wait()
        await visit.send(chunk(TOKEN) + chunk(DONE) + END, 1 << 20)
        return "keep"

    keeping.play = play
    async with (
        served(keeping, tmp_path, 2, **all_open()) as running,
        contextlib.AsyncExitStack() as stack,
    ):
        credential = {"Authorization": f"Bearer {running.token}"}
        opened = [await stack.enter_async_context(channel(running)) for _ in range(10)]
        answers = [asking(opened[number % 10], credential) for number in range(500)]
        await asyncio.gather(*(one.read() for one in answers))
        assert len(keeping.visits) == 500
        go_on.set()
        for one in answers:
            assert await rest(one) == ["token", "done"]
        ended = [line for line in running.lines("request") if line.get("stream_end") == "done"]
        assert {line["door"] for line in ended} == {"grpc"}


async def status_of_a_call(
    opened: grpc.aio.Channel, credential: Mapping[str, str]
) -> grpc.StatusCode:
    try:
        await call(opened, "AuthService/Me", {}, credential)
    except grpc.aio.AioRpcError as error:
        return Failure.of(error).status
    return grpc.StatusCode.OK


async def test_a_stop_lets_calls_end_and_takes_no_new_ones(
    keeping: KeepingCore, tmp_path: Path
) -> None:
    """GOAWAY: the connection's answer goes on to its own end, the next call finds nobody."""
    go_on = asyncio.Event()

    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(META), 1 << 20)
        await go_on.wait()
        await visit.send(chunk(DONE) + END, 1 << 20)
        return "keep"

    keeping.play = play
    settings = all_open() | {"DRAIN_LIMIT": "60s"}
    async with served(keeping, tmp_path, 2, **settings) as running, channel(running) as opened:
        credential = {"Authorization": f"Bearer {running.token}"}
        answer = asking(opened, credential)
        await answer.read()
        running.signal(signal.SIGTERM)
        await running.said("draining", 2)
        statuses = [grpc.StatusCode.OK]
        async with asyncio.timeout(TIMEOUT_S):
            while statuses[-1] != grpc.StatusCode.UNAVAILABLE:
                await asyncio.sleep(0.02)
                statuses.append(await status_of_a_call(opened, credential))
        # One that meets the worker in this very moment is cancelled by grpc before it has begun.
        assert set(statuses[:-1]) <= {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}
        go_on.set()
        assert await rest(answer) == ["done"]
        assert await running.ended() == 0


async def test_strangers_write_nothing_into_the_log(core: StubCore, tmp_path: Path) -> None:
    """grpc would tell of each handshake that fails, in lines that are no JSON."""
    authority = Authority(tmp_path / "tls")
    files = https(authority.issue("gateway"))
    trust = client(authority)
    async with served(core, tmp_path, 1, trust=trust, **all_open(), **files) as running:
        async with channel(running) as plain:
            with pytest.raises(grpc.aio.AioRpcError):
                await call(plain, "AuthService/Me", {})
        credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
        async with channel(running, trust=credentials) as trusting:
            me = await call(
                trusting, "AuthService/Me", {}, {"Authorization": f"Bearer {running.token}"}
            )
            assert me.subject == "root"
    lines = running.log.read_text().splitlines()
    assert [line for line in lines if not line.startswith("{")] == []


async def test_what_is_off_is_not_imported() -> None:
    """No worker pays for a listener that nobody asked for."""
    script = (
        "import sys\n"
        "from gateway import app\n"
        "from tests.unit.valid_settings import load\n"
        "settings = load()\n"
        "app.import_for(settings)\n"
        "app.create_app(settings)\n"
        "wanted = ('gateway.edge.grpc', 'grpc_health.v1', 'grpc_reflection.v1', 'google.rpc')\n"
        "print([name for name in sys.modules if name.startswith(wanted)])\n"
    )
    code = f"import sys; sys.path.append({str(CHECKOUT)!r})\n{script}"
    assert await output(sys.executable, "-c", code) == (0, "[]\n")
