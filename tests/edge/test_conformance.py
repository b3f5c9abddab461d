"""Every case of ``conformance/*.jsonl`` at every door: one meaning, however it is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.stream import CORE_MAY_SAY, ENDINGS
from gateway.domain.stream_state import StreamState
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.observe import log_output
from gateway.errors import by_code

from .conformance import (
    AS_GIVEN,
    FILES,
    FOLDER,
    GATEWAY_ACTS,
    IN_PIECES,
    Case,
    Pieces,
    Script,
    all_cases,
    assert_told,
    cases,
)
from .conftest import Gateway, running_gateway
from .doors import DOORS, WAYS, Door, Progress, all_open
from .keeping_core import KeepingCore
from .raw import TIMEOUT_S
from .served import served
from .test_endings import caught, core
from .test_logs import Lines, uncached

__all__ = ["caught", "core", "uncached"]

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"


def test_every_ending_has_a_case() -> None:
    """A row of the table that no case tells is a row that a client library does not know."""
    assert {case.outcome for case in all_cases()} - {None} == {one.value for one in ENDINGS}


def test_every_code_has_a_case() -> None:
    """A core may say six codes and no others, whatever codes there are."""
    said = {case.name: case.client["ends"] for case in cases("core_errors")}
    for code in by_code():
        expected = code if code in CORE_MAY_SAY else "CORE_PROTOCOL_ERROR"
        assert said[f"the core says {code}"] == expected


def test_cases_are_told_apart_and_tell_their_rule() -> None:
    """Names are unique in all files, which are exactly those there are."""
    names = [case.name for case in all_cases()]
    assert len(names) == len(set(names))
    assert all(case.rule.endswith(".") for case in all_cases())
    assert {path.stem for path in FOLDER.glob("*.jsonl")} == set(FILES)


def test_the_page_tells_how_many_cases_each_door_has() -> None:
    """By file and door: all doors replay all cases."""
    page = PAGE.read_text("utf-8")
    header = f"| file | {' | '.join(f'`{door}`' for door in DOORS)} |"
    assert header in page
    for file in FILES:
        counts = " | ".join([str(len(cases(file)))] * len(DOORS))
        assert f"| [`{file}.jsonl`](../conformance/{file}.jsonl) | {counts} |" in page
    everything = " | ".join([str(len(list(all_cases())))] * len(DOORS))
    assert f"| together | {everything} |" in page


class World:
    """A gateway with the settings of some cases, its core and its log."""

    def __init__(self, gateway: Gateway, core: KeepingCore, streams: OpenStreams) -> None:
        self.gateway, self.core, self.streams = gateway, core, streams
        self.lines = Lines()
        self.fails = False
        self._ended = 0

    def act(self, what: str) -> None:
        if what == "fails":
            self.fails = True
        else:
            self.streams.stop_all(GATEWAY_ACTS[what]())

    async def replay(self, door: Door, case: Case, pieces: Pieces) -> None:
        progress = Progress(blind=door.blind)
        self.core.play = Script(case, pieces, progress, self.act).play
        async with asyncio.timeout(TIMEOUT_S):
            told = await door.ask(self.gateway, await self.gateway.bearer(), progress)
        assert_told(door, case, told)
        self.fails = False
        await self._assert_logged(door, case)

    async def _assert_logged(self, door: Door, case: Case) -> None:
        """The log's word for what ended it; none where it did not begin."""
        outcome = case.told_at(door.name)["outcome"]
        if outcome is None:
            return
        async with asyncio.timeout(TIMEOUT_S):
            while len(found := self._ends()) <= self._ended:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        assert found[self._ended :] == [outcome], (case.name, door.name)
        self._ended = len(found)

    def _ends(self) -> list[str]:
        return [line["stream_end"] for line in self.lines.requests() if "stream_end" in line]


def by_settings() -> dict[str, list[Case]]:
    """The cases that one gateway can replay, by what is set for them."""
    groups: dict[str, list[Case]] = {}
    for case in all_cases():
        name = " ".join(f"{name}={text}" for name, text in case.settings.items()) or "defaults"
        groups.setdefault(name, []).append(case)
    return groups


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("group", by_settings())
async def test_each_case_is_told_as_it_says(
    group: str,
    way: str,
    core: KeepingCore,
    caught: list[OpenStreams],
    uncached: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the case has the core send it, and cut elsewhere: what a client is told is the same."""
    chosen = by_settings()[group]
    async with running_gateway(core, **all_open(), **chosen[0].settings) as gateway:
        world = World(gateway, core, caught[-1])
        log_output.configure("debug", "json", world.lines.stream)
        monkeypatch.setattr(StreamState, "feed", failing(StreamState.feed, world))
        for case in chosen:
            is_cut = case.may_be_cut and case not in cases("core_errors")
            for pieces in IN_PIECES if is_cut else (AS_GIVEN,):
                await world.replay(WAYS[way], case, pieces)


async def test_a_gateway_in_processes_of_its_own_tells_the_same(
    core: KeepingCore, tmp_path: Path
) -> None:
    """``gateway serve`` with two workers: all that needs neither a setting nor a hand inside."""
    chosen = [case for case in by_settings()["defaults"] if not case.needs_a_hand]
    assert len(chosen) > len(ENDINGS)
    async with served(core, tmp_path, 2, **all_open()) as running:
        credential = {"Authorization": f"Bearer {running.token}"}
        for door in DOORS.values():
            for case in chosen:
                progress = Progress(blind=door.blind)
                core.play = Script(case, AS_GIVEN, progress, lambda what: None).play
                async with asyncio.timeout(TIMEOUT_S):
                    assert_told(door, case, await door.ask(running, credential, progress))


def failing(feed: Any, world: World) -> Any:
    """The state machine with a fault of ours, once the case has it fail."""

    def faulty(self: StreamState, data: bytes, now: float) -> Any:
        if world.fails:
            raise RuntimeError("a fault of ours")
        return feed(self, data, now)

    return faulty
