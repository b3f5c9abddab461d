"""What Sanic asks of a connection, in place of its own ``ConnInfo``.

Sanic asks the system for both addresses of each connection, and keeps them with texts and
dictionaries made of them: half a kilobyte, of which the gateway reads the client's address.
"""

from __future__ import annotations

from typing import Any


class ConnectionInfo:
    """The client's end of one connection.

    Attributes:
        client_ip: the peer's address in its normal form; empty where it has none.
        lost: the connection is gone.
    """

    __slots__ = ("_transport", "client_ip", "lost")
    network_paths = None

    def __init__(self, transport: Any, client_ip: str) -> None:
        self._transport = transport
        self.client_ip = client_ip
        self.lost = False

    @property
    def peername(self) -> tuple[str, int] | None:
        found = self._transport.get_extra_info("peername")
        return found if isinstance(found, tuple) else None

    @property
    def client_port(self) -> int:
        return self.peername[1] if self.peername else 0

    @property
    def ssl(self) -> bool:
        return self._transport.get_extra_info("ssl_object") is not None
