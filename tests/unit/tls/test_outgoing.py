"""Certificates for calls of ours: a peer whose files are wrong is down, and comes back mended."""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.tls.certificates import TlsFiles
from gateway.tls.outgoing import OutgoingTls
from tests.certificates import Authority


def believed(context: ssl.SSLContext) -> int:
    """How many authorities a peer's certificate may come from."""
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    return len(context.get_ca_certs())


def test_where_files_are_wrong_nobody_is_trusted_until_they_are_mended(tmp_path: Path) -> None:
    """A worker that takes another's place then starts all the same."""
    good = Authority(tmp_path).files()
    assert good.ca is not None
    ca = tmp_path / "used.pem"
    ca.write_text("half a certificate")
    tls = OutgoingTls()
    taken_over: list[str] = []
    present = tls.context("core", TlsFiles(ca=ca))
    tls.on_change("s3", TlsFiles(ca=ca), lambda: taken_over.append("s3"))
    assert believed(present()) == 0
    tls.reload_if_changed()
    assert believed(present()) == 0
    ca.write_bytes(good.ca.read_bytes())
    tls.reload_if_changed()
    assert believed(present()) == 1
    assert taken_over == ["s3"]


def test_files_that_became_wrong_change_nothing(tmp_path: Path) -> None:
    """Whoever was trusted still is."""
    files = Authority(tmp_path).files()
    assert files.ca is not None
    tls = OutgoingTls()
    present = tls.context("core", files)
    files.ca.write_text("")
    tls.reload_if_changed()
    assert believed(present()) == 1
