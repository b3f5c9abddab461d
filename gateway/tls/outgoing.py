"""The TLS of the calls a worker makes: which files go with which peer, and who hears of changes."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import structlog

from gateway.tls.certificates import (
    CertificateError,
    Followed,
    TlsFiles,
    client_context,
    trusting_nobody,
)

log = structlog.get_logger("gateway.tls")


class OutgoingTls:
    """Follows the certificate files of the core, OPA, the object storage and Temporal.

    Each is told of a change of its own files only; files that became wrong are logged once for
    each version of them and change nothing. In a worker that starts when they are wrong (one that
    takes another's place; the first ones find a fault of the settings) nobody is trusted until
    they are mended: that peer is down, and all the rest is served.
    """

    def __init__(self) -> None:
        self._followed: list[tuple[str, Followed[ssl.SSLContext], Callable[[], None]]] = []

    def context(self, peer: str, files: TlsFiles) -> Callable[[], ssl.SSLContext]:
        """Gives the newest context; a context is asked for at each new connection."""
        followed = self._follow(peer, files)
        self._followed.append((peer, followed, lambda: None))
        return lambda: followed.present

    def tell(self, peer: str, files: TlsFiles, take_over: Callable[[], None]) -> None:
        """Calls ``take_over`` when the files are other ones and good."""
        if files.paths:
            self._followed.append((peer, self._follow(peer, files), take_over))

    def _follow(self, peer: str, files: TlsFiles) -> Followed[ssl.SSLContext]:
        def stand_in(problem: CertificateError) -> ssl.SSLContext:
            log.error("certificates not taken over", peer=peer, reason=str(problem))
            return trusting_nobody()

        return Followed(files.paths, lambda: client_context(files), stand_in)

    def reload_if_changed(self) -> None:
        for peer, followed, take_over in self._followed:
            try:
                if followed.reload_if_changed():
                    take_over()
                    log.info("certificates reloaded", peer=peer)
            except CertificateError as problem:
                log.error("certificates not taken over", peer=peer, reason=str(problem))
