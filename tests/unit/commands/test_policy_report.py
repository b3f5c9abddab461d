"""What ``gateway check`` says of the policy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.commands import cli

GOOD = {
    "GATEWAY_JWT_SECRET": "a secret of forty bytes for this test...",
    "GATEWAY_CORE_TOKEN": "core-token",
    "GATEWAY_SERVICES_CORE": "http://127.0.0.1:1",
    "GATEWAY_SERVICES_TEMPORAL": "127.0.0.1:1",
    "GATEWAY_S3_BUCKET": "documents",
    "GATEWAY_S3_KEYS_BUCKET": "gateway-keys",
    "GATEWAY_S3_ACCESS_KEY": "access",
    "GATEWAY_S3_SECRET_KEY": "secret",
    "GATEWAY_ADMIN_USERNAME": "root",
    "GATEWAY_ADMIN_PASSWORD": "a password for this test",
    "GATEWAY_ADMIN_LISTEN_PORT": "0",
}
RULES = 'package gateway.authz\n\ndefault allow := false\nreason := "x"\nobligations := {}\n'


def checked(capsys: pytest.CaptureFixture[str], **settings: str) -> tuple[int, str]:
    """The exit code of ``gateway check``, and what it printed."""
    environ = GOOD | {f"GATEWAY_{name}": text for name, text in settings.items()}
    code = cli.main(["check"], environ)
    return code, capsys.readouterr().out


def test_engine_revision_and_what_is_missing_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """For the policy that comes with the gateway nothing is."""
    code, said = checked(capsys)
    assert code == 0
    policy = said.partition("\nPolicy in use\n")[2].splitlines()[:3]
    assert [line.split()[0] for line in policy] == ["engine", "revision", "missing"]
    assert "wasmtime" in policy[0]
    assert len(policy[1].split()[1]) == 64
    assert policy[2].split()[1:] == ["nothing"]


def test_a_server_is_named_and_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """What it has loaded is its own affair."""
    code, said = checked(capsys, SERVICES_OPA="http://127.0.0.1:1")
    assert code == 0
    assert "engine     an OPA server at http://127.0.0.1:1" in said


@pytest.mark.usefixtures("opa_on_path")
def test_functions_that_are_missing_are_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By their names."""
    url = '{"method": "get", "url": "http://127.0.0.1:1"}'
    (tmp_path / "a.rego").write_text(f"{RULES}allow if http.send({url}).status_code == 200\n")
    code, said = checked(capsys, POLICY_DIR=str(tmp_path))
    assert code == 1
    assert "GATEWAY_POLICY_DIR: expected a policy (the policy needs http.send" in said
    assert "missing    http.send" in said


def test_rego_without_opa_is_a_fault_with_the_command_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left with a policy that is silently not served."""
    (tmp_path / "a.rego").write_text(RULES)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    code, said = checked(capsys, POLICY_DIR=str(tmp_path))
    assert code == 1
    assert "run `opa build -t wasm -e gateway/authz -b" in said
    assert "missing    the program `opa`" in said
