"""The result files, and how they are told to be stale."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import cli, results
from benchmarks.digest import code_digest

ROWS = [
    {"system": system, "streams": 100, "round": number, "cpu_us_per_event": 20.0 + number}
    for number in range(3)
    for system in ("gateway", "go-reverseproxy", "nginx")
]


def made(scenario: str = "relay") -> dict[str, object]:
    return results.document(
        scenario, ROWS, machine=results.machine(), versions={"nginx": "1.22.1"}, conditions={}
    )


def test_a_result_says_on_what_and_with_what_it_was_taken(tmp_path: Path) -> None:
    """Machine, versions, every single row and the medians are in the file."""
    read = json.loads(results.write("relay", made(), tmp_path).read_text("utf-8"))
    assert read["versions"] == {"nginx": "1.22.1"}
    assert read["machine"]["cpus"] >= 1
    assert read["rows"] == ROWS
    assert {row["cpu_us_per_event"] for row in read["summary"]} == {21.0}
    assert read["ratios"][0]["of_nginx"] == 1.0


def test_the_table_has_a_line_for_each_system() -> None:
    """What is printed is the summary with its ratios."""
    lines = results.printed("relay", made()).splitlines()
    assert [line.split()[0] for line in lines] == ["system", "gateway", "go-reverseproxy", "nginx"]


def test_the_table_of_several_loads_has_a_line_for_each_in_their_order() -> None:
    """The systems stand side by side under each load."""
    rows = [{**row, "load": load} for row in ROWS for load in ("first", "crlf", "20B-1/s")]
    made = results.document("shapes", rows, machine=results.machine(), versions={}, conditions={})
    lines = results.printed("shapes", made).splitlines()
    assert lines[0].split()[:3] == ["system", "load", "streams"]
    assert [line.split()[1] for line in lines[1:]] == ["first"] * 3 + ["crlf"] * 3 + ["20B-1/s"] * 3


def test_fresh_figures_are_not_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``check`` is content with figures taken on the code there is."""
    results.write("relay", made(), tmp_path)
    assert cli.main(["check", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


def test_figures_of_other_code_are_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``check`` names what is to be measured again; so does a file it cannot read."""
    old = made()
    old["code"] = {"of": [], "sha256": "0" * 64}
    results.write("relay", old, tmp_path)
    (tmp_path / "storm.json").write_text("{", "utf-8")
    assert cli.main(["check", "--out", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "stale: relay" in told
    assert "stale: storm" in told


def test_no_figures_at_all_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty folder is not up to date."""
    assert cli.main(["check", "--out", str(tmp_path)]) == 1
    assert "no results" in capsys.readouterr().out


def source(root: Path, name: str, text: str) -> None:
    path = root / "gateway" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def test_the_digest_follows_names_and_content_and_nothing_else(tmp_path: Path) -> None:
    """What an interpreter or a build leaves behind changes no figure."""
    source(tmp_path, "http_client/pool.py", "a")
    first = code_digest(tmp_path)
    source(tmp_path, "http_client/__pycache__/pool.pyc", "x")
    source(tmp_path, "http_client/pool.so", "x")
    source(tmp_path, "tls/certificates.py", "x")
    assert code_digest(tmp_path) == first
    source(tmp_path, "http_client/pool.py", "b")
    changed = code_digest(tmp_path)
    source(tmp_path, "edge/sse.py", "")
    assert len({first, changed, code_digest(tmp_path)}) == 3


def test_options_stand_in_for_the_sizes_of_the_scenario() -> None:
    """What is not said keeps the scenario's own value."""
    options = cli.parser().parse_args(["relay", "--quick", "--streams", "10,20", "--seconds", "1"])
    sizes = cli.sizes_of(options)
    assert (sizes.streams, sizes.seconds, sizes.rounds) == ((10, 20), 1.0, 1)
    assert cli.sizes_of(cli.parser().parse_args(["relay"])).rounds == 3
