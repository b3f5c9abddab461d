"""The setting of the limits: as a text, as a list and as a table; every fault at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.domain.actions import ACTIONS, LOGIN, MCP, SOCKET
from gateway.domain.limit_rules import COUNTED, parse_limits
from gateway.settings import SettingsError

from ..valid_settings import load

TEXT = "query:run 60/m burst 10 per subject, 8 open per subject; *:* 1200/m per tenant"
TOML = {
    "a text": f'limits = "{TEXT}"',
    "several lines": f'limits = """\n{TEXT.replace("; ", chr(10))}\n"""',
    "a list": 'limits = ["query:run 60/m burst 10 per subject", "8 open per subject",'
    ' "*:* 1200/m per tenant"]',
    "a table": '[limits]\n"query:run" = "60/m burst 10 per subject, 8 open per subject"\n'
    '"*:*" = "1200/m per tenant"',
    "a table with lists": '[limits]\n"query:run" = ["60/m burst 10 per subject",'
    ' "8 open per subject"]\n"*:*" = "1200/m per tenant"',
}


def test_without_it_there_are_no_limits() -> None:
    assert load().limits == ()


@pytest.mark.parametrize("document", TOML.values(), ids=TOML)
def test_each_way_to_write_them_in_toml_means_the_same(document: str, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(document)

    assert load(config).limits == load(GATEWAY_LIMITS=TEXT).limits == parse_limits(TEXT)


def test_every_fault_is_reported_by_itself() -> None:
    with pytest.raises(SettingsError) as caught:
        load(GATEWAY_LIMITS="query:runn 6/m per subject; query:run 6/m; login 0/m per account")

    assert [(fault.name, fault.found) for fault in caught.value.faults] == [
        ("GATEWAY_LIMITS", "query:runn 6/m per subject"),
        ("GATEWAY_LIMITS", "query:run 6/m"),
        ("GATEWAY_LIMITS", "login 0/m per account"),
    ]


def test_what_is_counted_is_every_action_with_logins_sockets_and_agents() -> None:
    """What an admin does for another owner counts as his own doing."""
    assert {LOGIN, SOCKET, MCP} | {a for a in ACTIONS if not a.endswith(":any-owner")} == COUNTED
