"""What stops a start although every setting could be read: asked by ``serve`` and by ``check``.

``check`` would otherwise call good what ``serve`` refuses. Both report everything at once.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from gateway.process import listeners
from gateway.settings import Fault, Settings
from gateway.wiring.accounts import accounts_faults


def start_faults(settings: Settings) -> list[Fault]:
    """Reads the users file, and binds all addresses for a moment; nobody can connect meanwhile."""
    return [*accounts_faults(settings), *_address_faults(settings)]


def _address_faults(settings: Settings) -> Iterator[Fault]:
    addresses = {"GATEWAY_SERVER_HOST": (settings.server_host, settings.server_port)}
    if settings.admin_port:
        addresses["GATEWAY_ADMIN_LISTEN_HOST"] = (settings.admin_host, settings.admin_port)
    if settings.grpc_port:
        addresses["GATEWAY_GRPC_PORT"] = (settings.server_host, settings.grpc_port)
    for name, (host, port) in addresses.items():
        reason = _why_it_cannot_listen(host, port)
        if reason is not None:
            reason_text = f"cannot listen on {listeners.shown(host, port)}: {reason}"
            yield Fault(name, None, f"an address of this machine ({reason_text})")


def _why_it_cannot_listen(host: str, port: int) -> str | None:
    """``None`` too where somebody listens there: a check beside a running gateway is no fault.

    ``serve`` reports that itself when it binds the address to keep it.
    """
    try:
        listeners.check_free(host, port)
    except OSError as problem:
        return None if problem.errno == errno.EADDRINUSE else problem.strerror
    return None
