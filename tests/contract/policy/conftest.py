"""Two engines, one suite: a real OPA server and the embedded one, over any policy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.components import find_program
from gateway.adapters.opa import OpaPolicy
from gateway.adapters.wasm_policy import WasmPolicy

# Here time is never what is tested, except where a test says so with a budget of its own.
PATIENT_S = 60.0

POLICY_DIR = Path(__file__).resolve().parents[3] / "opa"


class OpaServer:
    """An OPA process on a port of its own, started as the documentation says."""

    def __init__(self, program: Path, *arguments: str, port: int | None = None) -> None:
        self.port = port or _free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._program = program
        self._arguments = arguments
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [
                *(self._program, "run", "--server", "--addr", f"127.0.0.1:{self.port}"),
                *("--log-level", "error", "--skip-version-check"),
                *self._arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait_until_up(process)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process

    def _wait_until_up(self, process: subprocess.Popen[bytes]) -> None:
        give_up_at = time.monotonic() + PATIENT_S
        while process.poll() is None and time.monotonic() < give_up_at:
            try:
                with urllib.request.urlopen(f"{self.base_url}/health", timeout=PATIENT_S):
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.02)
        raise ServerDidNotStart(f"opa ended with {process.poll()}")

    def restart(self) -> None:
        self.stop()
        self.process = self._start()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class ServerDidNotStart(Exception):
    """OPA ended before it answered: it refuses a policy that does not compile."""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def opa_program() -> Path:
    program = find_program("opa")
    if program is None:
        message = "opa is missing: `go install github.com/open-policy-agent/opa@latest`"
        if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return program


@pytest.fixture
def serve(opa_program: Path) -> Iterator[Callable[..., OpaServer]]:
    """Starts OPA servers over a folder, or with other arguments, and stops them all."""
    with ExitStack() as stack:

        def start(*arguments: str | Path) -> OpaServer:
            server = OpaServer(opa_program, *_ignoring_tests(), *map(str, arguments))
            stack.callback(server.stop)
            return server

        yield start


def _ignoring_tests() -> tuple[str, ...]:
    return "--ignore=golden", "--ignore=*_test.rego"


@pytest.fixture(scope="session")
def shipped_server(opa_program: Path) -> Iterator[OpaServer]:
    server = OpaServer(opa_program, *_ignoring_tests(), str(POLICY_DIR))
    yield server
    server.stop()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        yield client


Engine = OpaPolicy | WasmPolicy


@pytest.fixture(params=["opa", "wasm"])
def shipped(request: pytest.FixtureRequest, client: httpx.AsyncClient) -> Iterator[Engine]:
    """The gateway's own policy on each engine."""
    if request.param == "opa":
        server: OpaServer = request.getfixturevalue("shipped_server")
        yield OpaPolicy(client, server.base_url, budget_s=PATIENT_S)
        return
    yield WasmPolicy(None)


@pytest.fixture(params=["opa", "wasm"])
def engine_over(
    request: pytest.FixtureRequest, client: httpx.AsyncClient
) -> Callable[[Path], Engine]:
    """Each engine over any folder of Rego."""
    if request.param == "wasm":
        request.getfixturevalue("opa_on_path")
        return WasmPolicy
    serve = request.getfixturevalue("serve")
    return lambda folder: OpaPolicy(client, serve(folder).base_url, budget_s=PATIENT_S)


@pytest.fixture
def policy_source() -> Path:
    """The Rego that the default bundle is made of."""
    return POLICY_DIR


@pytest.fixture(scope="session")
def golden() -> list[tuple[str, dict[str, Any]]]:
    """Every golden case as (file and name, case)."""
    return [
        (f"{path.stem}: {case['name']}", case)
        for path in sorted((POLICY_DIR / "golden").glob("*.json"))
        for cases in json.loads(path.read_text(encoding="utf-8")).values()
        for case in cases
    ]


@pytest.fixture
def policy_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a policy of a test's own."""

    def write(rego: str, data: str = "{}") -> Path:
        (tmp_path / "authz.rego").write_text(rego, encoding="utf-8")
        (tmp_path / "data.json").write_text(data, encoding="utf-8")
        return tmp_path

    return write
