"""Certificate files as bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.tls.certificates import CertificateError, TlsFiles
from gateway.tls.pem import read_pem, system_authorities
from tests.certificates import Authority


def test_the_files_are_read_whole(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    pair = ours.issue("gateway")
    pem = read_pem(TlsFiles(ours.ca, pair.cert, pair.key))
    assert (pem.ca, pem.cert) == (ours.ca.read_bytes(), pair.cert.read_bytes())
    assert pem.key == pair.key.read_bytes()


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    """Its content is in no message."""
    broken = tmp_path / "ca.crt"
    broken.write_text("secret")
    with pytest.raises(CertificateError) as caught:
        read_pem(TlsFiles(broken))
    assert str(broken) in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kept_in", ["a file", "a directory"])
def test_without_a_file_the_systems_authorities_are_believed(
    kept_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever OpenSSL keeps them on this machine."""
    ours = Authority(tmp_path / "ours", "ours")
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "0a1b2c3d.0").write_bytes(ours.ca.read_bytes())
    (folder / "README").write_text("no certificate")
    file = ours.ca if kept_in == "a file" else tmp_path / "none"
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    assert system_authorities() == ours.ca.read_bytes()
    assert read_pem(TlsFiles()).ca == ours.ca.read_bytes()
