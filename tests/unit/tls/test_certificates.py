"""Certificate files in the settings: what ``gateway check`` and the start say about them."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands import check
from gateway.settings import SPECS, Settings, SettingsError, read
from gateway.tls.certificates import CertificateError, WatchedFiles, certificates
from gateway.tls.x509 import validity
from tests.certificates import HOUR, Authority, expired

NEEDED = {
    "GATEWAY_JWT_SECRET": "a secret of the test, forty bytes long....",
    "GATEWAY_ADMIN_USERNAME": "root",
    "GATEWAY_ADMIN_PASSWORD": "a password of the test",
    "GATEWAY_CORE_TOKEN": "core-token",
    "GATEWAY_SERVICES_CORE": "https://core:8100",
    "GATEWAY_SERVICES_TEMPORAL": "127.0.0.1:1",
    "GATEWAY_S3_BUCKET": "documents",
    "GATEWAY_S3_KEYS_BUCKET": "gateway-keys",
    "GATEWAY_S3_ACCESS_KEY": "access",
    "GATEWAY_S3_SECRET_KEY": "secret",
}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def faults(**files: object) -> dict[str, str]:
    """Setting → what is said of it; ``TLS_CERT_FILE=path``."""
    environ = {**NEEDED, **{f"GATEWAY_{name}": str(value) for name, value in files.items()}}
    return {fault.name: str(fault) for fault in check.all_faults(read(SPECS, environ, None))}


def test_good_files_are_no_fault(authority: Authority) -> None:
    """The public listener's, with clients' CA, and the core's."""
    pair = authority.issue()
    assert (
        faults(
            TLS_CERT_FILE=pair.cert,
            TLS_KEY_FILE=pair.key,
            TLS_CLIENT_CA_FILE=authority.ca,
            CORE_CA_FILE=authority.ca,
            CORE_CERT_FILE=pair.cert,
            CORE_KEY_FILE=pair.key,
        )
        == {}
    )


def test_everything_wrong_is_told_at_once(authority: Authority, tmp_path: Path) -> None:
    """Missing, no PEM, another one's key, with a passphrase, expired, not yet good, in the clear:
    each with the name of its setting."""
    pair, other = authority.issue(), authority.issue("other")
    locked = authority.issue("locked", passphrase=b"hush")
    late, early = expired(authority), authority.issue("early", start=HOUR, end=2 * HOUR)
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n")
    found = faults(
        TLS_CERT_FILE=pair.cert,
        TLS_KEY_FILE=other.key,
        TLS_CLIENT_CA_FILE=nonsense,
        CORE_CA_FILE=tmp_path / "nowhere",
        CORE_CERT_FILE=late.cert,
        CORE_KEY_FILE=late.key,
        SERVICES_OPA="https://opa:8181",
        OPA_CERT_FILE=locked.cert,
        OPA_KEY_FILE=locked.key,
        S3_ENDPOINT="http://s3:7070",
        S3_CA_FILE=authority.ca,
        TEMPORAL_CERT_FILE=early.cert,
        TEMPORAL_KEY_FILE=early.key,
    )
    assert {name: text.partition("expected ")[2] for name, text in found.items()} == {
        "GATEWAY_TLS_KEY_FILE": "the private key of the certificate",
        "GATEWAY_TLS_CLIENT_CA_FILE": "certificates that can be read, in PEM",
        "GATEWAY_CORE_CA_FILE": "the path of a readable file (No such file or directory)",
        "GATEWAY_OPA_KEY_FILE": "a private key without a passphrase",
        "GATEWAY_S3_ENDPOINT": "an https:// address, as GATEWAY_S3_CA_FILE is set",
        "GATEWAY_TEMPORAL_TLS": "true, as GATEWAY_TEMPORAL_CERT_FILE is set",
        "GATEWAY_TEMPORAL_CERT_FILE": found["GATEWAY_TEMPORAL_CERT_FILE"].partition("expected ")[2],
    }
    assert "valid today (from 2" in found["GATEWAY_TEMPORAL_CERT_FILE"]


def test_an_expired_certificate_is_told_and_does_not_stop_the_start(authority: Authority) -> None:
    """``check`` says when; a replica that restarts is better than none."""
    late = expired(authority)
    found = faults(TLS_CERT_FILE=late.cert, TLS_KEY_FILE=late.key)
    assert found.keys() == {"GATEWAY_TLS_CERT_FILE"}
    assert "valid today (expired 2" in found["GATEWAY_TLS_CERT_FILE"]
    environ = {"GATEWAY_TLS_CERT_FILE": str(late.cert), "GATEWAY_TLS_KEY_FILE": str(late.key)}
    assert Settings.load({**NEEDED, **environ}).tls_cert_file == late.cert


@pytest.mark.parametrize("missing", ["CERT", "KEY"])
@pytest.mark.parametrize("peer", ["TLS", "CORE", "OPA", "S3", "TEMPORAL"])
def test_certificate_and_key_go_together(authority: Authority, peer: str, missing: str) -> None:
    """One of them alone is a slip, and stops the start."""
    pair = authority.issue()
    given = {f"{peer}_CERT_FILE": pair.cert, f"{peer}_KEY_FILE": pair.key}
    del given[f"{peer}_{missing}_FILE"]
    found = faults(**given, TEMPORAL_TLS="true", SERVICES_OPA="https://opa:8181")
    assert found.keys() == {f"GATEWAY_{peer}_{missing}_FILE"}
    environ = {f"GATEWAY_{name}": str(path) for name, path in given.items()}
    with pytest.raises(SettingsError):
        Settings.load({**NEEDED, **environ, "GATEWAY_TEMPORAL_TLS": "true"})


def test_files_for_a_peer_in_the_clear_are_a_fault(authority: Authority) -> None:
    """Who gives a CA believes that the connection is encrypted."""
    found = faults(SERVICES_CORE="http://core:8100", CORE_CA_FILE=authority.ca)
    assert found.keys() == {"GATEWAY_SERVICES_CORE"}
    assert faults(OPA_CA_FILE=authority.ca).keys() == {"GATEWAY_SERVICES_OPA"}
    assert faults(TLS_CLIENT_CA_FILE=authority.ca).keys() == {"GATEWAY_TLS_CERT_FILE"}
    assert faults(S3_CA_FILE=authority.ca) == {}  # AWS


def test_hsts_is_sent_where_tls_ends_here_or_where_it_is_asked_for(authority: Authority) -> None:
    """A gateway in the clear says nothing about HTTPS unless told that it ends in front."""
    pair = authority.issue()
    tls = {"GATEWAY_TLS_CERT_FILE": str(pair.cert), "GATEWAY_TLS_KEY_FILE": str(pair.key)}
    assert Settings.load(NEEDED).hsts_s == 0
    assert Settings.load({**NEEDED, **tls}).hsts_s == 365 * 24 * 3600
    assert Settings.load({**NEEDED, **tls, "GATEWAY_HSTS_MAX_AGE": "0"}).hsts_s == 0
    assert Settings.load({**NEEDED, "GATEWAY_HSTS_MAX_AGE": "1d"}).hsts_s == 24 * 3600


def test_a_mounted_secret_is_followed_through_its_links(tmp_path: Path) -> None:
    """Kubernetes swaps the folder behind a link; the path in the settings stays."""
    for version in ("one", "two"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "tls.crt").write_text(version)
    (tmp_path / "data").symlink_to("one")
    path = tmp_path / "data" / "tls.crt"
    watched = WatchedFiles([path], path.read_text)
    assert not watched.reload_if_changed()
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").replace(tmp_path / "data")
    assert watched.reload_if_changed()
    assert watched.current == "two"


def test_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    """It is told once; the file that comes back is taken over."""
    path = tmp_path / "tls.crt"
    path.write_text("one")
    watched = WatchedFiles([path], path.read_text)
    path.unlink()
    with pytest.raises(CertificateError):
        watched.reload_if_changed()
    assert not watched.reload_if_changed()
    assert watched.current == "one"
    path.write_text("two")
    assert watched.reload_if_changed()
    assert watched.current == "two"


def test_the_two_dates_are_the_certificates(authority: Authority) -> None:
    """As another reader of X.509 has them, before 2050 and after."""
    for end in (HOUR, datetime.timedelta(days=365 * 60)):
        pair = authority.issue(end=end)
        (found,) = certificates(pair.cert)
        known = x509.load_pem_x509_certificate(pair.cert.read_bytes())
        assert found.not_before == known.not_valid_before_utc.timestamp()
        assert found.not_after == known.not_valid_after_utc.timestamp()


@given(st.binary(max_size=80))
def test_bytes_that_are_no_certificate_are_a_value_error(data: bytes) -> None:
    """Whatever a file holds, the reading of it ends in words."""
    with pytest.raises(ValueError, match=r"\w"):
        validity(data)
