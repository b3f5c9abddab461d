"""``gateway check``: what it prints of settings, and how it probes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.commands import check
from gateway.errors import PolicyUnavailable, StorageUnavailable
from gateway.settings import SPECS, read

SECRETS = {
    "GATEWAY_JWT_SECRET": "jwt-secret-of-the-test-" * 2,
    "GATEWAY_CORE_TOKEN": "core-token-of-the-test",
    "GATEWAY_S3_ACCESS_KEY": "access-key-of-the-test",
    "GATEWAY_S3_SECRET_KEY": "secret-key-of-the-test",
}


def lines(environ: dict[str, str], config: Path | None = None) -> dict[str, str]:
    """What is printed after each setting's name."""
    reading = read(SPECS, environ, config)
    printed = check.settings_lines(reading, check.all_faults(reading))
    return {
        words[0]: words[1].strip()
        for line in printed
        if len(words := line.split(maxsplit=1)) == 2 and words[0].startswith("GATEWAY_")
    }


def test_every_setting_is_printed_with_its_origin(tmp_path: Path) -> None:
    """Environment, file and default can be told apart."""
    config = tmp_path / "dev.toml"
    config.write_text('stream_ping = "5s"')
    printed = lines({"GATEWAY_SERVER_PORT": "81"}, config)
    assert {str(spec.env) for spec in SPECS.values()} <= set(printed)
    assert printed["GATEWAY_SERVER_PORT"] == "81 [environment]"
    assert printed["GATEWAY_STREAM_PING"] == f"5s [file {config}]"
    assert printed["GATEWAY_POLICY_BUDGET"] == "250ms [default]"
    assert printed["GATEWAY_SERVICES_OPA"] == "unset [default]"


def test_secrets_are_printed_as_set_or_unset(tmp_path: Path) -> None:
    """The output can be pasted into a ticket."""
    token = tmp_path / "token"
    token.write_text("core-token-of-the-test")
    environ = {**SECRETS, "GATEWAY_CORE_TOKEN_FILE": str(token)}
    del environ["GATEWAY_CORE_TOKEN"]
    reading = read(SPECS, environ, None)
    output = "\n".join(check.settings_lines(reading, check.all_faults(reading)))
    assert not [value for value in SECRETS.values() if value in output]
    printed = lines(environ)
    assert printed["GATEWAY_JWT_SECRET"] == "set [environment]"
    assert printed["GATEWAY_CORE_TOKEN"] == "set [environment (GATEWAY_CORE_TOKEN_FILE)]"
    assert printed["GATEWAY_S3_KEYS_ACCESS_KEY"] == "set [default (GATEWAY_S3_ACCESS_KEY)]"
    assert printed["GATEWAY_JWT_SECRET_PREVIOUS"] == "unset [default]"


def test_missing_secret_and_what_would_follow_it_are_unset() -> None:
    """Nothing is called set that is not there."""
    printed = lines({})
    assert printed["GATEWAY_S3_KEYS_ACCESS_KEY"] == "unset [default (GATEWAY_S3_ACCESS_KEY)]"


def test_all_faults_are_printed_after_the_settings() -> None:
    """The list to work through stands at the end, with its length."""
    reading = read(SPECS, {"GATEWAY_SERVER_PORT": "http", "GATEWAY_TYPO": "1"}, None)
    output = list(check.settings_lines(reading, check.all_faults(reading)))
    start = output.index(f"{len(reading.faults)} to mend:")
    assert [f"  {fault}" for fault in reading.faults] == output[start + 1 :]


async def test_probes_run_together_and_tell_each_outcome() -> None:
    """One broken dependency hides no other; the operator is told the cause."""
    both_are_here = asyncio.Barrier(2)

    async def meets_the_other() -> None:
        await both_are_here.wait()

    async def refused() -> None:
        raise StorageUnavailable from ConnectionRefusedError("port\n  7070")

    probes = await check.probe_all({"a": meets_the_other, "b": meets_the_other, "s3": refused})
    outcome = {probe.name: probe.fault for probe in probes}
    assert outcome["a"] is None
    assert outcome["b"] is None
    assert outcome["s3"] is not None
    assert outcome["s3"].startswith("STORAGE_UNAVAILABLE")
    assert "ConnectionRefusedError: port 7070" in outcome["s3"]


async def test_probe_of_a_silent_dependency_ends_at_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A frozen dependency is a fault, never a hang."""
    monkeypatch.setattr(check, "PROBE_LIMIT_S", 0.01)
    probes = await check.probe_all({"core": asyncio.Event().wait})  # type: ignore[dict-item]
    assert probes[0].fault == "no answer within 0.01 s"


async def test_probe_asks_again_before_it_calls_a_dependency_down() -> None:
    """The first question may cost a connection, a login, a client's imports."""
    asked: list[int] = []

    async def slow_at_first() -> None:
        asked.append(1)
        if len(asked) == 1:
            raise PolicyUnavailable

    probes = await check.probe_all({"policy": slow_at_first})
    assert probes[0].fault is None
    assert str(probes[0]).startswith("  policy     ok")


def test_what_a_dependency_says_of_itself_is_printed() -> None:
    """The policy's revision, as its engine has it now."""
    probe = check.Probe("policy", 0.003, None, ", revision v7")
    assert str(probe) == "  policy     ok, 3 ms, revision v7"
