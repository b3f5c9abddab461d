"""The first commands of somebody who begins, typed as he types them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from gateway.settings.env_file import read_env_file
from tests.terminal import terminal

GATEWAY = (sys.executable, "-m", "gateway")
# Nothing of this machine's own settings: a newcomer has none.
ENVIRON = {name: text for name, text in os.environ.items() if not name.startswith("GATEWAY_")}


def environ() -> dict[str, str]:
    """The commands run in another folder than the checkout."""
    places = [os.getcwd(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return ENVIRON | {"PYTHONPATH": os.pathsep.join(filter(None, places))}


async def test_at_a_terminal_it_asks_and_takes_what_is_right(tmp_path: Path) -> None:
    """Return takes the usual address; what no setting would take is asked again."""
    path = tmp_path / "my.env"
    command = (*GATEWAY, "init", "--file", str(path))
    async with terminal(command, environ(), columns=120, lines=40) as shown:
        await shown.until("browsers reach it [http://127.0.0.1:8080]:")
        shown.type("http://127.0.0.1:9000\r")
        await shown.until("The object store [http://127.0.0.1:7070]:")
        shown.type("\r")
        await shown.until("Temporal [127.0.0.1:7233]:")
        shown.type("somewhere\r")
        await shown.until("expected host:port")
        shown.type("temporal.example:7233\r")
        await shown.until("The core [")
        shown.type("\r")
        await shown.until("name of an admin [admin]:")
        shown.type("anna\r")
        await shown.until("Sign in at http://127.0.0.1:9000/console as anna")
        assert await shown.ended() == 0
    found, _ = read_env_file(path)
    assert found["GATEWAY_SERVER_PORT"] == "9000"
    assert found["GATEWAY_SERVICES_TEMPORAL"] == "temporal.example:7233"
    assert found["GATEWAY_ADMIN_PASSWORD"] not in shown.text


async def test_leaving_the_questions_writes_nothing(tmp_path: Path) -> None:
    """By Ctrl-D; a unit test presses Ctrl-C, which a terminal may deliver a moment too early."""
    command = (*GATEWAY, "init", "--file", str(tmp_path / "my.env"))
    async with terminal(command, environ()) as shown:
        await shown.until("[http://127.0.0.1:8080]:")
        shown.type("\x04")
        assert await shown.ended() == 1
        assert "nothing was written" in shown.text
    assert os.listdir(tmp_path) == []


async def run(folder: Path, *command: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *GATEWAY,
        *command,
        env=environ(),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_way_from_nothing_to_the_next_step(tmp_path: Path) -> None:
    """`serve` says how to begin, `init` asks nobody in a pipe, `check` finds nothing to mend."""
    status, out, err = await run(tmp_path, "serve")
    assert (status, out, len(err.splitlines())) == (1, "", 5)
    assert "gateway init" in err
    status, out, err = await run(tmp_path, "init")
    assert (status, err) == (0, "")
    assert out.startswith("Wrote .env")
    status, out, err = await run(tmp_path, "check")
    assert (status, err) == (0, "")
    assert "The settings are good." in out
    assert "Next: gateway setup" in out
