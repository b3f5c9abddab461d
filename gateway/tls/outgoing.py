"""TLS for the calls a worker makes: the files of each peer, and what is done when they change."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import structlog

from gateway.tls.certificates import (
    CertificateError,
    TlsFiles,
    WatchedFiles,
    client_context,
    trusting_nobody,
)

log = structlog.get_logger("gateway.tls")


class OutgoingTls:
    """Watches the certificate files of the core, OPA, the object storage and Temporal.

    A client is notified only of changes of its own files. Files that became wrong are logged once
    for each version and change nothing. If they are wrong when a worker starts (one that replaces
    another; at the gateway's start they are faults of the settings), every handshake with that peer
    fails until they are repaired: the peer is down, and the rest is served.
    """

    def __init__(self) -> None:
        self._watched: list[tuple[str, WatchedFiles[ssl.SSLContext], Callable[[], None]]] = []

    def context(self, peer: str, files: TlsFiles) -> Callable[[], ssl.SSLContext]:
        """A function that returns the newest context; call it for each new connection."""
        watched = self._watch(peer, files)
        self._watched.append((peer, watched, lambda: None))
        return lambda: watched.current

    def on_change(self, peer: str, files: TlsFiles, take_over: Callable[[], None]) -> None:
        """Calls ``take_over`` when the files have changed and are valid."""
        if files.paths:
            self._watched.append((peer, self._watch(peer, files), take_over))

    def _watch(self, peer: str, files: TlsFiles) -> WatchedFiles[ssl.SSLContext]:
        def fallback(problem: CertificateError) -> ssl.SSLContext:
            log.error("certificates not taken over", peer=peer, reason=str(problem))
            return trusting_nobody()

        return WatchedFiles(files.paths, lambda: client_context(files), fallback)

    def reload_if_changed(self) -> None:
        for peer, watched, take_over in self._watched:
            try:
                if watched.reload_if_changed():
                    take_over()
                    log.info("certificates reloaded", peer=peer)
            except CertificateError as problem:
                log.error("certificates not taken over", peer=peer, reason=str(problem))
