"""Policies that cannot be loaded, told in a sentence: the supervisor loads them too."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from gateway.adapters import policy_bundle
from gateway.adapters.policy_bundle import BUNDLE_NAME, load
from gateway.errors import PolicyBroken


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_link_in_a_bundle_is_no_policy(tmp_path: Path, kind: bytes) -> None:
    """One that leads nowhere, too."""
    with tarfile.open(tmp_path / BUNDLE_NAME, "w:gz") as bundle:
        link = tarfile.TarInfo("policy.wasm")
        link.type, link.linkname = kind, "nowhere"
        bundle.addfile(link, io.BytesIO())
    with pytest.raises(PolicyBroken) as caught:
        load(tmp_path)
    assert "no compiled policy in the bundle" in str(caught.value.__cause__)


def test_compiler_that_does_not_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload must not end the process that asked for it."""
    opa = tmp_path / "opa"
    opa.write_text("#!/bin/sh\nwhile :; do :; done\n")
    opa.chmod(0o755)
    (tmp_path / "a.rego").write_text("package gateway.authz\n")
    monkeypatch.setattr(policy_bundle, "find_opa", lambda: opa)
    monkeypatch.setattr(policy_bundle, "_BUILD_LIMIT_S", 0.05)
    with pytest.raises(PolicyBroken) as caught:
        load(tmp_path)
    assert "took longer" in str(caught.value.__cause__)
