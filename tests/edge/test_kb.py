"""``kb`` in a terminal, whose screen is read, and in a pipe, before a whole gateway."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import knowledge_base
import pytest

from tests.terminal import terminal

from .conftest import Gateway, running_gateway
from .fakes import PASSWORD
from .keeping_core import After, KeepingCore, Visit, keeping_core, settled
from .python_client import base_url
from .raw import TIMEOUT_S
from .stub_core import DONE, END, META, STREAM_HEAD, chunk

KB = [sys.executable, "-m", "knowledge_base.cli"]
SOURCES = (
    b'event: sources\ndata: [{"document_id":"0192b3c4-0000-7000-8000-000000000001",'
    b'"filename":"tea.pdf","chunk_id":"c:0","score":2.5,"text":"Tea.","page":2,"section":["Tea"]}]\n\n'
)
CITED = b'event: citation\ndata: {"source":0,"start":0,"end":14}\n\n'
FIRST = b'event: token\ndata: {"text":"Three "}\n\n'
SECOND = b'event: token\ndata: {"text":"minutes.\\u001b[31m"}\n\n'
SAID = b'event: error\ndata: {"error":{"code":"OVERLOADED","message":"full","details":{}}}\n\n'


@pytest.fixture
async def core() -> AsyncIterator[KeepingCore]:
    async with keeping_core() as running:
        yield running


@pytest.fixture
async def gateway(core: KeepingCore) -> AsyncIterator[Gateway]:
    async with running_gateway(core) as running:
        yield running


def says(core: KeepingCore, *events: bytes, holds: bool = False) -> None:
    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + b"".join(chunk(one) for one in events), 1 << 20)
        if holds:
            await visit.until_left()
            return "close"
        await visit.send(END, 1 << 20)
        return "keep"

    core.play = play


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Nothing is known of any knowledge base, or of this machine's user."""
    source = str(Path(str(knowledge_base.__file__)).parents[1])
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {
        "PYTHONPATH": source,
        "PYTHONUTF8": "1",
        "HOME": str(folder),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        **kept,
        **more,
    }


async def asking(gateway: Gateway, folder: Path) -> dict[str, str]:
    return environment(folder, KB_URL=base_url(gateway), KB_TOKEN=await gateway.token())


async def piped(env: dict[str, str], *words: str, stdin: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *KB,
        *words,
        env=env,
        # Where there is nothing to say there is no pipe: it may have ended before it is written to.
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(TIMEOUT_S):
        out, err = await process.communicate(stdin.encode() or None)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


# --- a terminal -----------------------------------------------------------------------------------


async def test_logging_in_and_asking_at_a_terminal(
    gateway: Gateway, core: KeepingCore, tmp_path: Path
) -> None:
    """The password is not shown, and kept nowhere; the token for its owner's eyes only."""
    says(core, META, SOURCES, FIRST, SECOND, CITED, DONE)
    env = environment(tmp_path)
    async with terminal([*KB, "login", base_url(gateway)], env) as shown:
        await shown.until("User:")
        shown.type("alice\n")
        await shown.until("Password:")
        shown.type(f"{PASSWORD}\n")
        await shown.until("Logged in")
        assert await shown.ended() == 0
        assert PASSWORD.encode() not in shown.raw
    kept = tmp_path / ".config" / "knowledge-base" / "login.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert PASSWORD not in kept.read_text("utf-8")
    async with terminal([*KB, "ask", "how", "long?"], env) as shown:
        assert await shown.ended() == 0
        assert shown.text.splitlines() == ["Three minutes.[31m[1]", "", "[1] tea.pdf, p. 2, Tea"]
        assert b"\x1b" not in shown.raw


async def test_an_answer_is_shown_as_it_comes_and_ctrl_c_stops_it_at_the_core(
    gateway: Gateway, core: KeepingCore, tmp_path: Path
) -> None:
    """What came stays on the screen, with its sources."""
    says(core, META, SOURCES, FIRST, holds=True)
    async with terminal([*KB, "ask", "how long?"], await asking(gateway, tmp_path)) as shown:
        await shown.until("Three")
        assert not core.visits[0].left
        shown.type("\x03")
        await settled(lambda: core.visits[0].left)
        assert await shown.ended() == 130
        assert "kb: stopped" in shown.text
        assert "Traceback" not in shown.text


async def test_tables_have_colours_where_they_are_wanted(gateway: Gateway, tmp_path: Path) -> None:
    """NO_COLOR takes them away, a pipe has none, and neither a head."""
    env = await asking(gateway, tmp_path)
    await gateway.client.post(
        "/api/v1/keys",
        json={"name": "night [bold]", "scopes": ["query:run"]},
        headers=await gateway.bearer(),
    )
    async with terminal([*KB, "keys", "ls"], env, columns=120) as shown:
        assert await shown.ended() == 0
        assert "NAME" in shown.text
        assert "night [bold]" in shown.text
        assert b"\x1b[1m" in shown.raw
    async with terminal([*KB, "keys", "ls"], {**env, "NO_COLOR": "1"}, columns=120) as shown:
        assert await shown.ended() == 0
        assert b"\x1b[3" not in shown.raw
    code, out, _ = await piped(env, "keys", "ls")
    assert code == 0
    (line,) = out.splitlines()
    assert line.split("\t")[1:3] == ["night [bold]", "query:run"]


# --- a pipe ---------------------------------------------------------------------------------------


async def test_a_pipe_has_the_answer_as_it_is(
    gateway: Gateway, core: KeepingCore, tmp_path: Path
) -> None:
    """A question from stdin; nothing but the answer on stdout."""
    says(core, META, SOURCES, FIRST, SECOND, CITED, DONE)
    env = await asking(gateway, tmp_path)
    code, out, err = await piped(env, "ask", stdin="how long?\n")
    assert (code, err) == (0, "")
    assert out == "Three minutes.\x1b[31m[1]\n\n[1] tea.pdf, p. 2, Tea\n"
    assert json.loads(core.bodies[-1])["query"] == "how long?"
    _, out, _ = await piped(env, "ask", "--no-sources", "how long?")
    assert out == "Three minutes.\x1b[31m\n"


async def test_a_program_reads_one_line_for_each_event(
    gateway: Gateway, core: KeepingCore, tmp_path: Path
) -> None:
    """The error is among them; the exit code and stderr say it, too."""
    says(core, META, FIRST, SAID)
    code, out, err = await piped(await asking(gateway, tmp_path), "ask", "--json", "how long?")
    events = [json.loads(line) for line in out.splitlines()]
    assert [one["event"] for one in events] == ["meta", "token", "error"]
    assert events[1]["data"] == {"text": "Three "}
    assert events[2]["data"]["error"]["code"] == "OVERLOADED"
    assert code == 5
    assert err.startswith("kb: OVERLOADED")


async def test_who_reads_no_more_stops_the_answer(
    gateway: Gateway, core: KeepingCore, tmp_path: Path
) -> None:
    """``kb ask … | head -1``: no complaint, and the core is left."""

    async def goes_on(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(META), 1 << 20)
        while not visit.left:
            await visit.send(chunk(FIRST), 1 << 20)
            await asyncio.sleep(0.002)
        return "close"

    core.play = goes_on
    script = f'{" ".join(KB)} ask hi | head -c 6; echo " ${{PIPESTATUS[0]}}"'
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        env=await asking(gateway, tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(TIMEOUT_S):
        out, err = await process.communicate()
    assert out.decode().split() == ["Three", "141"]
    assert err == b""
    await settled(lambda: core.visits[0].left)


async def test_each_failure_has_its_exit_code(
    gateway: Gateway, core: KeepingCore, tmp_path: Path
) -> None:
    """One line on stderr that says what to do; nothing on stdout."""
    env = await asking(gateway, tmp_path)
    url = base_url(gateway)
    cases = [
        (["ask", ""], {}, 2, "empty"),
        (["docs", "rm", "x"], {}, 2, "--yes"),
        (["nothing"], {}, 2, "invalid choice"),
        (["whoami"], {"KB_TOKEN": "no-token"}, 3, "kb login"),
        (["whoami"], {"KB_TOKEN": ""}, 3, f"kb: You are not logged in to {url}"),
        (["whoami"], {"KB_URL": ""}, 2, "kb login https"),
        (["keys", "revoke", "0192b3c40000700080000000000000ff"], {}, 4, "NOT_FOUND"),
        (["upload", "nowhere.pdf"], {}, 4, "no such file"),
        (["login", "--password-stdin", "-u", "alice"], {}, 3, "password is wrong"),
    ]
    for words, more, expected, said in cases:
        stdin = "wrong\n" if words[0] == "login" else ""
        code, out, err = await piped({**env, **more}, *words, stdin=stdin)
        assert (code, out) == (expected, ""), (words, err)
        assert said in err, (words, err)
        assert "Traceback" not in err
