"""The gRPC listener's settings."""

from __future__ import annotations

import pytest

from gateway.settings import SettingsError
from tests.unit.valid_settings import load


def test_it_is_off_unless_it_has_a_port() -> None:
    assert load().grpc_port == 0


@pytest.mark.parametrize("other", ["GATEWAY_SERVER_PORT", "GATEWAY_ADMIN_LISTEN_PORT"])
def test_its_port_is_nobody_elses(other: str) -> None:
    """The other listener is named."""
    with pytest.raises(SettingsError) as caught:
        load(**{"GATEWAY_GRPC_PORT": "7777", other: "7777"})
    assert any(
        fault.name == "GATEWAY_GRPC_PORT" and other in fault.expected
        for fault in caught.value.faults
    )


def test_what_it_needs_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.settings.grpc_settings._NEEDED", ("grpc_nowhere",))
    with pytest.raises(SettingsError) as caught:
        load(GATEWAY_GRPC_PORT="7777")
    assert "knowledge-base-gateway[grpc]" in caught.value.faults[0].expected
