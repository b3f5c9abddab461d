"""The sockets of grpc's connections, which it shows to nobody: found by the client's address."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Set
from urllib.parse import unquote

from gateway.domain.forwarded import plain_address

# This process's open files, by their numbers; on Linux a link to /proc/self/fd.
OPEN_FILES = "/dev/fd"
# Address and port.
End = tuple[str, int]


def cut(peers: Set[str], port: int) -> int:
    """Ends the connections to ``port`` of these peers, as grpc calls them, as if the network had.

    Looks at each open file: for a thread of its own.

    Returns:
        How many were found; others are gone already.

    Raises:
        OSError: open files cannot be listed here.
    """
    wanted = {(end, port) for peer in peers if (end := end_of(peer)) is not None}
    return sum(_cut(int(number), wanted) for number in os.listdir(OPEN_FILES))


def end_of(peer: str) -> End | None:
    """Of ``ipv4:192.0.2.1:5``, ``ipv6:%5B2001:db8::1%5D:5``."""
    kind, _, rest = unquote(peer).partition(":")
    address, _, port = rest.rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return plain_address(address.strip("[]")), int(port)


def _cut(number: int, wanted: Set[tuple[End, int]]) -> bool:
    try:
        if _ends_of(number) not in wanted:
            return False
        # By now the number may belong to another connection: a copy stays what it is.
        copy = os.dup(number)
    except OSError:
        return False  # no socket, not connected, or closed meanwhile
    try:
        if _ends_of(copy) not in wanted:
            return False
        with _borrowed(copy) as found:
            found.shutdown(socket.SHUT_RDWR)
        return True
    except OSError:
        return False  # the client was faster
    finally:
        os.close(copy)


def _ends_of(number: int) -> tuple[End, int] | None:
    """The client's end of a connection, and the port that it leads to."""
    with _borrowed(number) as found:
        if found.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        address, port = found.getpeername()[:2]
        return (plain_address(address), port), found.getsockname()[1]


@contextlib.contextmanager
def _borrowed(number: int) -> Iterator[socket.socket]:
    """Someone else's socket, left as it is."""
    found = socket.socket(fileno=number)
    try:
        yield found
    finally:
        found.detach()
