"""The core's settings: what is needed, what is told when it is not there."""

from __future__ import annotations

import pytest

from devstack.core.settings import EndpointSettings, SettingsError, read_settings

CORE = {"CORE_TOKEN": "secret-token", "CORE_DATA_DIR": "/data"}
WORKER = {
    "CORE_DATA_DIR": "/data",
    "CORE_S3_ENDPOINT": "http://127.0.0.1:7070/",
    "CORE_S3_BUCKET": "documents",
    "CORE_S3_ACCESS_KEY": "key",
    "CORE_S3_SECRET_KEY": "secret",
}


def faults(environ: dict[str, str], component: str = "core") -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read_settings(environ, component)  # type: ignore[arg-type]
    return refused.value.faults


def test_defaults_are_those_of_a_development_machine() -> None:
    """Only the token and the data directory have to be given to the HTTP process."""
    settings = read_settings(CORE, "core")
    assert (settings.host, settings.port, settings.task_queue) == ("127.0.0.1", 8100, "documents")
    assert settings.temporal_address == "127.0.0.1:7233"
    assert settings.upload_timeout_s == 25 * 60
    assert (settings.storage, settings.chat) == (None, None)


def test_worker_needs_storage_and_no_token() -> None:
    """Each process is given what it uses and nothing more."""
    settings = read_settings(WORKER, "worker")
    assert settings.storage is not None
    assert settings.storage.endpoint == "http://127.0.0.1:7070"
    assert settings.storage.region == "us-east-1"
    assert settings.token == ""


def test_every_fault_is_reported_at_once() -> None:
    """One start tells all there is to mend, by the settings' names."""
    found = faults(
        {
            "CORE_PORT": "70000",
            "CORE_UPLOAD_TIMEOUT": "soon",
            "CORE_SWEEP_INTERVAL_S": "0",
            "CORE_EXIT_WITH_STDIN": "yes",
            "CORE_S3_ENDPOINT": "localhost:9000",
        },
        "worker",
    )
    named = {fault.split()[0] for fault in found}
    assert named == {
        *("CORE_DATA_DIR", "CORE_PORT", "CORE_UPLOAD_TIMEOUT", "CORE_SWEEP_INTERVAL_S"),
        *("CORE_EXIT_WITH_STDIN", "CORE_S3_ENDPOINT", "CORE_S3_BUCKET"),
        *("CORE_S3_ACCESS_KEY", "CORE_S3_SECRET_KEY"),
    }


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e99", "x"])
def test_durations_are_bounded_numbers(value: str) -> None:
    """What Python takes for a number is not always a duration."""
    assert faults({**CORE, "CORE_EXPIRY_GRACE_S": value})


def test_chat_model_needs_address_and_name() -> None:
    """Half a model is a fault rather than a silent fall-back."""
    assert faults({**CORE, "CORE_OPENAI_API_KEY": "k"})
    assert faults({**CORE, "CORE_OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})
    settings = read_settings(
        {**CORE, "CORE_OPENAI_BASE_URL": "http://127.0.0.1:1/v1/", "CORE_OPENAI_MODEL": "m"}, "core"
    )
    assert settings.chat == EndpointSettings("http://127.0.0.1:1/v1", "m", None)
