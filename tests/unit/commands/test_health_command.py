"""``gateway health``: asks where the settings say, and says yes only to 200."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from gateway.commands import cli, health
from gateway.settings import SPECS

Answering = Callable[[bytes], dict[str, str]]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Listens once and says what it is given; gives the settings that lead there."""
    asked: list[bytes] = []
    threads: list[threading.Thread] = []

    def start(answer: bytes) -> dict[str, str]:
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            with listener, listener.accept()[0] as connection:
                asked.append(connection.recv(4096))
                connection.sendall(answer)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return {"GATEWAY_SERVER_PORT": str(listener.getsockname()[1])}

    yield start
    for thread in threads:
        thread.join(10)
    for request in asked:
        assert request.startswith((b"GET /healthz HTTP/1.1\r\n", b"GET /readyz HTTP/1.1\r\n"))
        assert request.count(b"\r\nHost: ") == 1


def test_alive_ends_with_0(answering: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    """A gateway that listens on every address is asked on this machine's own."""
    env = answering(b"HTTP/1.1 200 OK\r\n\r\n") | {"GATEWAY_SERVER_HOST": "0.0.0.0"}
    assert cli.main(["health"], env) == 0
    assert capsys.readouterr().out == "/healthz: 200\n"


def test_not_ready_ends_with_1(answering: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    """503 from ``/readyz``: draining, or starting."""
    assert cli.main(["health", "--ready"], answering(b"HTTP/1.1 503 x\r\n\r\n")) == 1
    assert capsys.readouterr().out == "/readyz: 503\n"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1\r\n", b"HTTP/1.1 abc\r\n"])
def test_nonsense_ends_with_1(answering: Answering, answer: bytes) -> None:
    """Whatever listens there, it is not a gateway."""
    assert cli.main(["health"], answering(answer)) == 1


def test_nobody_there_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A refused connection is said in a line, with the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert cli.main(["health"], {"GATEWAY_SERVER_PORT": str(port)}) == 1
    assert capsys.readouterr().err.startswith(f"gateway health: 127.0.0.1:{port}: ")


def test_where_it_asks_without_settings_is_the_settings_default() -> None:
    """It reads the environment by itself, to start fast; the defaults must not drift apart."""
    assert SPECS["server_host"].default == health.DEFAULT_HOST
    assert SPECS["server_port"].default == health.DEFAULT_PORT
    assert SPECS["admin_host"].default == health.DEFAULT_ADMIN_HOST
    assert SPECS["admin_port"].default == health.DEFAULT_ADMIN_PORT
    assert health.target({}, ready=False) == health.Target("127.0.0.1", 8080, False, "/healthz")


def test_every_address_is_asked_on_this_machine() -> None:
    """IPv6 too; and TLS is spoken where a certificate is set."""
    env = {"GATEWAY_SERVER_HOST": "::", "GATEWAY_TLS_CERT_FILE": "/run/tls.crt"}
    assert health.target(env, ready=True) == health.Target("::1", 8080, True, "/readyz")
    for host in ("[::]", "[::1]"):
        assert health.target({"GATEWAY_SERVER_HOST": host}, ready=False).host == "::1"


def test_where_clients_need_a_certificate_the_admin_listener_is_asked(
    answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    """A probe has no certificate. Draining is alive, and not ready."""
    needed = {"GATEWAY_TLS_CERT_FILE": "/tls.crt", "GATEWAY_TLS_CLIENT_CA_FILE": "/ca.crt"}

    def env() -> dict[str, str]:
        port = answering(b"HTTP/1.1 503 x\r\n\r\n")["GATEWAY_SERVER_PORT"]
        return {**needed, "GATEWAY_SERVER_PORT": "1", "GATEWAY_ADMIN_LISTEN_PORT": port}

    assert cli.main(["health"], env()) == 0
    assert cli.main(["health", "--ready"], env()) == 1
    optional = {**needed, "GATEWAY_TLS_CLIENT_CERTIFICATES": "optional"}
    assert health.target(optional, ready=False).port == 8080


def test_it_imports_next_to_nothing() -> None:
    """Run every few seconds under a container's own CPU limit."""
    code = "import sys, gateway.commands.health; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert {"gateway", "gateway.commands", "gateway.commands.health"} == {
        name for name in loaded.split() if name.startswith("gateway")
    }
    assert {"asyncio", "argparse", "ssl", "http.client"}.isdisjoint(loaded.split())
