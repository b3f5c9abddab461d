"""What ``gateway check`` calls good starts; what it does not, ``gateway serve`` refuses."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.certificates import Authority

from .served import environment, free_port, served
from .start_table import (
    BOM,
    FAULTY,
    GOOD,
    GOOD_SETTINGS,
    SECRET,
    Case,
    faulty_certificates,
    users,
)
from .stub_core import StubCore

Outcome = Mapping[str, Any]
COMMANDS = ("check", "serve")
ADMIN = "ADMIN_LISTEN_HOST"


def environ_of(case: Case, folder: Path) -> dict[str, str]:
    """The whole environment; files are made in ``folder``, a new one."""
    folder.mkdir()
    ports = {"{free}": str(free_port()), "{port}": str(free_port())}
    chosen = {**GOOD_SETTINGS, "SERVER_PORT": "{port}", **case}
    environ = {}
    for name, value in chosen.items():
        if isinstance(value, bytes):
            path = folder / name.lower()
            path.write_bytes(value)
            value = str(path)
        if value:
            environ[f"GATEWAY_{name}"] = ports.get(value, value)
    return environ


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Case]]:
    """All of them; the name of a good one's setting is empty."""
    made = faulty_certificates(Authority(tmp_path_factory.mktemp("authority")))
    good = {name: ("", case) for name, case in GOOD.items()}
    return {**good, **FAULTY, **made}


@pytest.fixture(scope="module")
def outcomes(
    cases: dict[str, tuple[str, Case]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome]:
    """By case: what both commands ended with and said. One process does them all."""
    folder = tmp_path_factory.mktemp("table")
    told = [environ_of(case, folder / str(n)) for n, (_, case) in enumerate(cases.values())]
    clean = {name: text for name, text in os.environ.items() if "GATEWAY_" not in name}
    done = subprocess.run(
        # Without the script's own folder: what is installed is what is tested.
        [sys.executable, "-P", str(Path(__file__).with_name("until_the_fork.py"))],
        input=json.dumps(told).encode(),
        env=clean,
        capture_output=True,
        timeout=240,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(cases), done.stderr.decode(errors="replace")[-2000:]
    return dict(zip(cases, lines, strict=True))


def test_the_table_is_long_enough(cases: dict[str, tuple[str, Case]]) -> None:
    """Sixty faults at least, beside what must start."""
    assert sum(bool(name) for name, _ in cases.values()) >= 60


def test_what_check_calls_good_starts(outcomes: dict[str, Outcome]) -> None:
    """Byte order marks and brackets among them."""
    for name, case in GOOD.items():
        # A machine without IPv6 has no such address, and both say so.
        status = 0 if has_ipv6() or "[::1]" not in (case.get("SERVER_HOST"), case.get(ADMIN)) else 1
        found = [outcomes[name][command]["status"] for command in COMMANDS]
        assert found == [status, status], (name, outcomes[name])


def test_what_serve_refuses_is_a_fault_to_check(
    cases: dict[str, tuple[str, Case]], outcomes: dict[str, Outcome]
) -> None:
    """Both end with 1, name the setting, and say the same of it; neither with a traceback."""
    for name, (setting, _) in cases.items():
        if not setting:
            continue
        told = {command: outcomes[name][command] for command in COMMANDS}
        assert [told[command]["status"] for command in COMMANDS] == [1, 1], (name, told)
        faults = [faults_in(told[command]["said"]) for command in COMMANDS]
        assert faults[0] == faults[1], name
        assert any(fault.startswith(f"GATEWAY_{setting}:") for fault in faults[0]), (name, faults)


def faults_in(said: str) -> set[str]:
    """The lines that tell a fault; in what ``check`` prints, those after the settings."""
    told = said.rpartition(" to mend:\n")[2]
    return {line.strip() for line in told.splitlines() if line.startswith("  GATEWAY_")}


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


async def status_and_words(command: str, environ: dict[str, str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", command),
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


AS_PROCESSES = (
    *("users missing", "users in UTF-16", "users, a bad name"),
    *("TOML in UTF-16", "an admin listener elsewhere", "a region with a blank"),
    *("half a character", "half a character in a name", "half a character in a path"),
    "a line feed in a name",
)


@pytest.mark.parametrize("name", AS_PROCESSES)
async def test_the_commands_themselves_agree(name: str, core: StubCore, tmp_path: Path) -> None:
    """The same as in one process: what a shell gets, and what a person reads."""
    setting, case = FAULTY[name]
    chosen = environ_of(case, tmp_path / "files")
    environ = {**environment(core, free_port(), {}), **chosen}
    for command in COMMANDS:
        status, said = await status_and_words(command, environ)
        assert status == 1, said
        assert f"GATEWAY_{setting}:" in said
        assert "Traceback" not in said


async def test_files_that_begin_with_a_byte_order_mark_mean_the_same(
    core: StubCore, tmp_path: Path
) -> None:
    """The users can log in, the secret is the key it is without the mark, TOML is read."""
    files = {"secret": SECRET + b"\n", "users.json": users(), "dev.toml": b'log_level = "debug"\n'}
    for name, content in files.items():
        (tmp_path / name).write_bytes(BOM + content)
    settings = {"JWT_SECRET": "", "JWT_SECRET_FILE": str(tmp_path / "secret")}
    settings |= {"USERS_FILE": str(tmp_path / "users.json")}
    settings |= {"CONFIG_FILE": str(tmp_path / "dev.toml")}
    async with served(core, tmp_path, 1, **settings) as running:
        token = await running.log_in("alice")
        assert (await running.get("/api/v1/auth/me", token)).status == 200
        key = jwt.decode(token, SECRET, algorithms=["HS256"], audience="knowledge-base")
        assert key["sub"] == "alice"


async def test_check_beside_a_running_gateway_is_no_fault(core: StubCore, tmp_path: Path) -> None:
    """Its address is taken by the gateway that it checks: in a container that is the rule."""
    async with served(core, tmp_path, 2) as running:
        environ = environment(core, running.address[1], {})
        status, said = await status_and_words("check", environ)
    assert (status, said.splitlines()[-1]) == (0, "The settings are good.")
