"""The loads that a relay is measured with, and the real cores that send the stub core's bytes."""

from __future__ import annotations

import importlib.util
import itertools
import re
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from benchmarks import cli, cores, gobuild, shapes
from benchmarks.summary import FIRST_LOAD

GO_SHAPES = re.findall(
    r'^\t"([\w-]+)": +\{', (gobuild.SOURCES / "events" / "shape.go").read_text("utf-8"), re.M
)


def test_every_shape_of_the_stub_core_is_a_load_and_the_other_way_round() -> None:
    """A shape that nobody measures may cost what it likes."""
    assert sorted(load.shape for load in shapes.SHAPES) == sorted(GO_SHAPES)
    assert shapes.SHAPES[0].name == shapes.SHAPES[0].shape == FIRST_LOAD
    assert {core.shape for core in cores.CORES} <= set(GO_SHAPES)


def test_sizes_and_paces_make_twelve_pairs() -> None:
    """From twenty bytes to four kibibytes, from one a second to two hundred."""
    pairs = {(load.payload, load.rate) for load in shapes.PAIRS}
    assert pairs == set(itertools.product((20, 120, 1024, 4096), (1, 50, 200)))


@pytest.mark.parametrize("option", ["--shapes", "--cores"])
def test_relay_runs_its_longer_forms_by_an_option(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have results of their own."""
    ran: list[str] = []

    async def run(options: Any) -> int:
        ran.append(options.scenario)
        return 0

    monkeypatch.setattr(cli, "run", run)
    assert cli.main(["relay", option]) == 0
    assert ran == [option.removeprefix("--")]


@pytest.fixture
def answers() -> Iterator[ModuleType]:
    path = cores.FILES / "answers.py"
    spec = importlib.util.spec_from_file_location("answers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "answers", module)
        spec.loader.exec_module(module)
        yield module


async def test_the_real_cores_send_what_the_stub_core_sends(
    answers: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, as the load generator expects it."""
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    order = answers.Order.read({"query": "id=7 events=2 rate=100000 for=9"})
    sent = [event async for event in answers.written(order)]
    fill = ("abcdefghijklmnopqrstuvwxyz" * 3)[7 * 31 % 26 :]
    text = b'{"text":"s000007 n%08d t1000000000000000000 %b"}'
    token = b"event: token\ndata: " + text % (0, fill[:49].encode()) + b"\n\n"
    assert len(token) == 120
    assert sent[1] == token
    names = re.findall(rb"event: (\w+)\n", b"".join(sent))
    assert names == [b"meta", b"token", b"token", b"usage", b"done"]
