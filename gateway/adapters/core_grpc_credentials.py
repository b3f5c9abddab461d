"""What a gRPC core is shown and must show: made of the newest certificate files."""

from __future__ import annotations

import grpc
import httpx
import structlog

from gateway.tls.certificates import CertificateError, TlsFiles
from gateway.tls.pem import read_pem

log = structlog.get_logger("gateway.tls")


class CoreCredentials:
    """Where the files are wrong from the beginning, no connection comes about."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._made: grpc.ChannelCredentials | None = None

    def current(self) -> grpc.ChannelCredentials:
        """Raises ``httpx.ConnectError`` where there are none."""
        if self._made is None:
            raise httpx.ConnectError("the certificates for the core cannot be used")
        return self._made

    def renew(self) -> None:
        """Files that are wrong are told; what was made of those before them stays."""
        try:
            pem = read_pem(self._files)
        except CertificateError as problem:
            log.error("certificates not taken over", peer="core", reason=str(problem))
            return
        self._made = grpc.ssl_channel_credentials(pem.ca, pem.key, pem.cert)
