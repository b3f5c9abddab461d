"""HTTPS, served by the worker itself, with certificate files that may change while it runs.

Every connection begins with one context, whose tickets are good in all workers. OpenSSL calls it at
each client hello, and there the connection gets the newest one, which ``reload_if_changed`` makes.
A context of its own for each change also removes a client CA, which cannot be done in place. Open
connections keep theirs.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from gateway.edge.wire.tls_transport import TlsTransport
from gateway.settings import Settings
from gateway.tls.certificates import CertificateError, TlsFiles, WatchedFiles, server_context

log = structlog.get_logger("gateway.tls")

POLL_S = 1.0


class ServerTls:
    """The gateway's certificate, and what is required of a client's.

    Raises:
        CertificateError: the files cannot be used.
    """

    def __init__(
        self,
        files: TlsFiles,
        *,
        client_certificate_required: bool = True,
        handshake_s: float = 10.0,
    ) -> None:
        self._handshake_s = handshake_s
        self._watched = WatchedFiles(
            files.paths,
            lambda: server_context(files, client_certificate_required=client_certificate_required),
        )
        self._first = self._watched.current
        self._first.sni_callback = self._use_newest

    @classmethod
    def of(cls, settings: Settings) -> ServerTls | None:
        """``None`` where the gateway speaks plain HTTP."""
        if settings.tls_cert_file is None:
            return None
        required = settings.tls_client_certificates == "required"
        return cls(
            settings.tls_files("tls"),
            client_certificate_required=required,
            handshake_s=settings.head_timeout,
        )

    def around(self, protocol: Callable[..., asyncio.Protocol]) -> Callable[..., TlsTransport]:
        """What makes a connection under TLS, with the arguments that ``protocol`` takes.

        The caps and deadlines of ``protocol.py`` begin when the handshake is over.
        """

        def make(**sanics: Any) -> TlsTransport:
            app = partial(protocol, **sanics)
            return TlsTransport(self._first, app, handshake_s=self._handshake_s)

        return make

    def reload_if_changed(self) -> None:
        """Uses changed files for new connections; bad ones are logged and change nothing."""
        try:
            if self._watched.reload_if_changed():
                log.info("certificates reloaded", listener="public")
        except CertificateError as problem:
            log.error("certificates not taken over", listener="public", reason=str(problem))

    async def watch(self) -> None:
        """Checks the files once a second, for as long as the worker serves."""
        while True:
            await asyncio.sleep(POLL_S)
            self.reload_if_changed()

    def _use_newest(
        self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext
    ) -> None:
        """Called at each client hello, with a server name or without."""
        if connection.context is not self._watched.current:
            connection.context = self._watched.current
