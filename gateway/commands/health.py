"""``gateway health``: asks the gateway on this machine whether it is alive or ready; 0 yes, 1 no.

For health checks of container engines in an image without a shell and curl. It runs every few
seconds within the container's CPU limit, so it imports very little
(``python -m gateway.commands.health`` not even the other commands) and reads the few settings it
needs from the environment by itself. It does not check the settings; ``gateway check`` does.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OK, FAULT, USAGE = 0, 1, 2

TIMEOUT_S = 2.0
ANSWER_LIMIT_BYTES = 16 * 1024
# The settings' defaults; a test compares them.
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", "8080"
DEFAULT_ADMIN_HOST, DEFAULT_ADMIN_PORT = "127.0.0.1", "9090"
# A listener on all addresses is asked on the loopback address.
_OWN_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Target:
    """The listener to ask: address, TLS or not, path, and the statuses that mean success."""

    host: str
    port: int
    tls: bool
    path: str
    good: frozenset[int] = frozenset({200})


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """``argv`` is empty or ``["--ready"]``."""
    if list(argv) not in ([], ["--ready"]):
        print("usage: gateway health [--ready]", file=sys.stderr)
        return USAGE
    try:
        where = target(environ, ready=bool(argv))
    except ValueError as problem:
        print(f"gateway health: {problem}", file=sys.stderr)
        return FAULT
    try:
        status = ask(where)
    except (OSError, ValueError) as problem:
        print(f"gateway health: {where.host}:{where.port}: {problem}", file=sys.stderr)
        return FAULT
    print(f"{where.path}: {status}")
    return OK if status in where.good else FAULT


def target(environ: Mapping[str, str], *, ready: bool) -> Target:
    """The public listener; the admin listener if the public one requires client certificates.

    A probe has no certificate. The admin listener has no ``/healthz``, but any answer of it shows
    that the gateway is alive.

    Raises:
        ValueError: a port is no number.
    """

    def setting(name: str, default: str = "") -> str:
        return environ.get(f"GATEWAY_{name}", "").strip() or default

    if (
        setting("TLS_CLIENT_CA_FILE")
        and setting("TLS_CLIENT_CERTIFICATES", "required") == "required"
    ):
        host = _without_brackets(setting("ADMIN_LISTEN_HOST", DEFAULT_ADMIN_HOST))
        port = int(setting("ADMIN_LISTEN_PORT", DEFAULT_ADMIN_PORT))
        good = frozenset({200} if ready else {200, 503})
        return Target(_OWN_ADDRESS.get(host, host), port, False, "/readyz", good)
    host = _without_brackets(setting("SERVER_HOST", DEFAULT_HOST))
    port = int(setting("SERVER_PORT", DEFAULT_PORT))
    path = "/readyz" if ready else "/healthz"
    return Target(_OWN_ADDRESS.get(host, host), port, bool(setting("TLS_CERT_FILE")), path)


def _without_brackets(host: str) -> str:
    """As the settings take an IPv6 address: ``[::1]`` and ``::1`` are the same host."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def ask(where: Target, timeout_s: float = TIMEOUT_S) -> int:
    """The status of the answer.

    Raises:
        OSError: nobody listens, the handshake failed, or a step took longer than ``timeout_s``.
        ValueError: what came is not an HTTP answer.
    """
    request = f"GET {where.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with _connect(where, timeout_s) as connection:
        connection.sendall(request.encode("ascii"))
        return _status(_head(connection))


def _connect(where: Target, timeout_s: float) -> socket.socket:
    connection = socket.create_connection((where.host, where.port), timeout_s)
    if not where.tls:
        return connection
    import ssl

    # The listener is on this machine, so there is nobody in between, and its certificate has the
    # name that clients use, not this address.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection)


def _head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n" not in head and len(head) < ANSWER_LIMIT_BYTES:
        piece = connection.recv(4096)
        if not piece:
            break
        head += piece
    return head


def _status(head: bytes) -> int:
    words = head.partition(b"\r\n")[0].split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise ValueError("what came is not an HTTP answer")
    return int(words[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
