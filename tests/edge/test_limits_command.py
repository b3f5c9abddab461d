"""``gateway limits`` asks a running gateway of two workers, and nobody else can."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from .conftest import ENVIRONMENT
from .raw import exchange, request
from .served import Served, free_port, served
from .stub_core import StubCore

LIMITS = "auth:me 4/d per subject; login 50/d per account; * 9000/d per address"


async def command(running: Served, port: int, *arguments: str, limits: str = LIMITS) -> str:
    """What it prints, by a process of its own with the gateway's settings."""
    settings = {
        **ENVIRONMENT,
        "GATEWAY_SERVICES_CORE": "http://127.0.0.1:1",
        "GATEWAY_ADMIN_LISTEN_PORT": str(port),
        "GATEWAY_LIMITS": limits,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "limits", *arguments),
        env=settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return f"{process.returncode} {said.decode()}"


async def test_what_is_left_is_shown_and_can_be_forgotten(core: StubCore, tmp_path: Path) -> None:
    port = free_port()
    settings = {"LIMITS": LIMITS, "ADMIN_LISTEN_PORT": str(port)}
    async with served(core, tmp_path, 2, port=None, **settings) as running:
        for _ in range(5):
            await running.get("/api/v1/auth/me")

        whom = ("--subject", "main/root", "--account", "root", "--address", "127.0.0.1")
        shown = await command(running, port, "show", *whom)
        assert shown.startswith("0 auth:me/subject/d  main/root: 0 left of 4/d, next in ")
        assert "login/account/d  root: 49 left of 50/d\n" in shown
        assert "*/address/d  127.0.0.1: 8994 left of 9000/d\n" in shown

        said = await command(running, port, "reset", "--subject", "main/root")
        assert "it is forgotten" in said
        assert (await running.get("/api/v1/auth/me")).status == 200
        shown = await command(running, port, "show", "--subject", "main/root")
        assert shown == "0 auth:me/subject/d  main/root: 3 left of 4/d\n"

        shown = await command(running, port, "show", "--address", "nowhere")
        assert shown.startswith("1 gateway limits show: Name whom")
        await nobody_else_may(("127.0.0.1", port))


async def nobody_else_may(address: tuple[str, int]) -> None:
    """Who reaches the listener, but has no secret."""
    for method in ("GET", "DELETE"):
        answer = await exchange(address, request(method, "/limits?subject=main/root"))
        assert answer.status == 403
        assert answer.json()["error"]["code"] == "FORBIDDEN"
    assert (await exchange(address, request("POST", "/limits"))).status == 405


async def test_without_whom_the_command_lists_and_asks_nobody(tmp_path: Path) -> None:
    running = Served(None, ("127.0.0.1", 1), tmp_path)  # type: ignore[arg-type]
    shown = await command(running, 1, "show")
    assert shown == "0 " + LIMITS.replace("; ", "\n") + "\n"
    assert (await command(running, 1, "show", limits="")) == "0 No limits are set.\n"
    assert (await command(running, 1, "reset")).startswith("2 gateway limits reset: say for whom")
    assert (await command(running, 1, "show", "--key", "a")).startswith("1 gateway limits show: ")


async def test_an_operator_lets_somebody_log_in_again(core: StubCore, tmp_path: Path) -> None:
    """Without any limit set: delays after failed logins are on by default."""
    port = free_port()
    strict = {"LOGIN_FREE_FAILURES": "1", "LOGIN_FIRST_DELAY": "4m", "ADMIN_LISTEN_PORT": str(port)}
    headers = {"Content-Type": "application/json"}
    wrong = request("POST", "/auth/login", headers, b'{"username":"root","password":"nope"}')
    whom = ("--account", "root", "--address", "127.0.0.1")
    async with served(core, tmp_path, 2, port=None, **strict) as running:
        for _ in range(3):
            refused = await exchange(running.address, wrong)
        assert refused.status == 429

        shown = await command(running, port, "show", *whom, limits="")
        assert "failed logins/account at address  root at 127.0.0.1: 0 left of 1 at" in shown
        await command(running, port, "reset", *whom, limits="")
        assert await running.log_in()
