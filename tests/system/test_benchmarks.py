"""The benchmarks as they are run by hand: a real gateway, a real peer, a result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import asking, cli, doors, gobuild
from benchmarks.soak import run
from devstack import components
from devstack.components import Missing
from tests.components import missing_components

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="the benchmarks read Linux's /proc"
)


@pytest.fixture(autouse=True)
def _go() -> None:
    try:
        gobuild.find_go()
    except Missing as error:
        missing_components(error)


def test_a_tiny_run_measures_the_gateway_and_a_peer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line to the result file: real gateway, real peer, no failure."""
    command = "relay --quick --peers gateway,go-reverseproxy --streams 10 --seconds 1"
    assert cli.main([*command.split(), "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "relay.json").read_text("utf-8"))
    assert {row["system"] for row in result["summary"]} == {"gateway", "go-reverseproxy"}
    assert all(row["failed"] == 0 and row["cpu_us_per_event"] > 0 for row in result["summary"])
    assert "of_go-reverseproxy" in capsys.readouterr().out


def test_a_tiny_soak_loads_everything_and_finds_nothing_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams, clients that leave, reads, uploads and keys, all of them as they should be."""
    # Longer than idle connections live, shorter than a run by hand takes.
    monkeypatch.setattr(run, "REST_S", 12.0)
    for component in ("s3", "temporal"):
        try:
            components.find(component)
        except Missing as error:
            missing_components(error)
    assert cli.main(["soak", "--hours", "0.003", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "soak.json").read_text("utf-8"))
    assert result["failures"] == {}
    kinds = {"long streams", "short streams", "leaving clients", "reads", "uploads", "keys"}
    assert set(result["done"]) == kinds
    assert result["faults"] == []
    assert "nothing grew" in capsys.readouterr().out


def test_a_tiny_run_asks_at_every_door(tmp_path: Path) -> None:
    """Whatever a door tells is the core's events again, every byte of them."""
    command = "doors --quick --streams 10 --seconds 1"
    assert cli.main([*command.split(), "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "doors.json").read_text("utf-8"))
    assert {row["load"] for row in result["summary"]} == set(doors.PATHS)
    assert all(row["failed"] == 0 and row["cpu_us_per_event"] > 0 for row in result["summary"])


def test_a_tiny_run_asks_for_answers_that_are_kept(tmp_path: Path) -> None:
    """Those that are to be hits all are, those asked of the core none; every byte is the core's."""
    assert cli.main(["kept", "--quick", "--seconds", "0.5", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "kept.json").read_text("utf-8"))
    assert len(result["summary"]) == 2 * len(asking.ANSWERS)
    for row in result["summary"]:
        assert row["failed"] == 0
        assert row["kept"] == (1.0 if row["load"].endswith(asking.HIT) else 0.0)
        assert row["cpu_us_per_answer"] > 0
