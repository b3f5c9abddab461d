"""What Temporal's statuses and memos mean here."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.client import WorkflowExecutionStatus as Status

from gateway.adapters.temporal import _announced, _argument, _share, _state, _tls_config
from gateway.domain.documents import Announced, DocumentRef
from gateway.tls.certificates import TlsFiles


@pytest.mark.parametrize(
    ("status", "said", "state"),
    [
        (Status.RUNNING, None, "awaiting_upload"),
        (Status.RUNNING, "processing", "processing"),
        (Status.RUNNING, "indexed", "indexed"),
        (Status.RUNNING, "a word of a later version", "awaiting_upload"),
        (Status.COMPLETED, None, "indexed"),
        (Status.COMPLETED, "failed", "failed"),
        (Status.COMPLETED, "expired", "expired"),
        (Status.COMPLETED, "processing", "indexed"),
        (Status.FAILED, "processing", "failed"),
        (Status.FAILED, "expired", "expired"),
        (Status.TERMINATED, None, "failed"),
        (Status.TIMED_OUT, None, "expired"),
    ],
)
def test_state_is_the_memos_word_unless_the_end_says_otherwise(
    status: Status, said: str | None, state: str
) -> None:
    """A last word counts; without one the way it ended does."""
    assert _state(status, said) == state


@pytest.mark.parametrize(("sha256", "upload_id"), [(None, None), ("a" * 64, "u")])
def test_announcement_survives_the_memo(sha256: str | None, upload_id: str | None) -> None:
    """What goes in comes out, to the second."""
    announced = Announced("ü.txt", "text/plain", 3, sha256, upload_id, 1_800_000_000)
    assert _announced(_argument(DocumentRef("acme", "alice", "id"), announced)) == announced


def test_a_ca_file_that_is_gone_is_never_the_systems_certificates(tmp_path: Path) -> None:
    """``None`` would mean these to the SDK, and anybody with a public certificate were Temporal."""
    there, gone = tmp_path / "ca.crt", tmp_path / "gone.crt"
    there.write_bytes(b"of our own CA")
    assert _tls_config(TlsFiles(ca=there)).server_root_ca_cert == b"of our own CA"
    assert _tls_config(TlsFiles(ca=gone)).server_root_ca_cert == b""
    assert _tls_config(TlsFiles(ca=tmp_path)).server_root_ca_cert == b""
    assert _tls_config(TlsFiles()).server_root_ca_cert is None


@pytest.mark.parametrize(
    ("noted", "share"),
    [(0.25, 0.25), (7, 1.0), (-1, 0.0), (float("nan"), None), (float("inf"), 1.0), ("1", None)],
)
def test_progress_is_a_share_or_nothing(noted: object, share: float | None) -> None:
    """A worker's word goes to clients as JSON, which has no NaN."""
    assert _share(noted) == share
