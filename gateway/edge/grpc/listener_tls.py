"""TLS of the gRPC listener: the same files as for HTTPS, taken over when they change.

grpc brings a TLS of its own. Each handshake asks for the newest files; open connections keep what
they began with.
"""

from __future__ import annotations

import grpc
import structlog

from gateway.settings import Settings
from gateway.tls.certificates import CertificateError, TlsFiles, WatchedFiles, faults

log = structlog.get_logger("gateway.tls")


def credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """``None`` where the gateway serves without TLS.

    With a client CA and optional certificates none is asked for: grpc either requires one or looks
    at none.

    Raises:
        CertificateError: the files cannot be used.
    """
    if settings.tls_cert_file is None:
        return None
    files = settings.tls_files("tls")
    watched = WatchedFiles(files.paths, lambda: _configuration(files))

    def newest() -> grpc.ServerCertificateConfiguration | None:
        try:
            if watched.reload_if_changed():
                log.info("certificates reloaded", listener="grpc")
                return watched.current
        except CertificateError as problem:
            log.error("certificates not taken over", listener="grpc", reason=str(problem))
        return None

    required = files.ca is not None and settings.tls_client_certificates == "required"
    return grpc.dynamic_ssl_server_credentials(
        watched.current,
        newest,  # type: ignore[arg-type]  # its stub does not know that nothing may be new
        require_client_authentication=required,
    )


def _configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    found = [f"{which}: expected {expected}" for which, expected in faults(files)]
    if found or files.cert is None or files.key is None:
        raise CertificateError("; ".join(found))
    pair = files.key.read_bytes(), files.cert.read_bytes()
    authorities = None if files.ca is None else files.ca.read_bytes()
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=authorities)
