"""What is made of a probe's measurements, and how its answers are read. ``test_probe`` in ``edge``
asks real proxies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.commands.probe import advice, report
from gateway.commands.probe.faults import KEPT_ON_THE_WAY_IN, KEPT_ON_THE_WAY_OUT, faults
from gateway.commands.probe.measuring import Measured, Tick
from gateway.commands.probe.wire import Place, _Chunks


def ticks(read_of: list[int]) -> list[Tick]:
    """Events 100 ms apart, each in the read that is named."""
    return [Tick(number, number / 10, 50 + read / 10, read) for number, read in enumerate(read_of)]


GOOD = Measured(
    first_s=0.01,
    ticks=ticks(list(range(20))),
    ended="done",
    status=200,
    version="1.1",
    headers={
        **dict.fromkeys(KEPT_ON_THE_WAY_OUT, "x"),
        "cache-control": "no-store, no-transform",
        "content-type": "text/event-stream; charset=utf-8",
    },
    seen={"http": "1.1", "tls": False, "ip": "::1", "headers": [*KEPT_ON_THE_WAY_IN, "via"]},
    silence_s=14.0,
    left_after_s=0.1,
)


def codes(seen: Measured) -> list[str]:
    return [fault.code for fault in faults(seen)]


def test_what_all_went_well_has_no_fault() -> None:
    assert codes(GOOD) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ticks": ticks([9] * 20)}, "buffered"),
        ({"ticks": ticks([n // 4 for n in range(20)])}, "buffered"),
        ({"headers": {**GOOD.headers, "content-encoding": "br"}}, "compressed"),
        ({"cut_after_s": 5.0}, "idle_cut"),
        ({"left_after_s": None}, "leave_lost"),
        ({"version": "1.0"}, "http_1_0"),
        ({"seen": {**GOOD.seen, "http": "1.0"}}, "http_1_0"),
        ({"seen": {**GOOD.seen, "headers": ["via"]}}, "headers_lost"),
        ({"headers": {**GOOD.headers, "cache-control": "no-store"}}, "headers_lost"),
        ({"ended": "cut"}, "broken_off"),
    ],
)
def test_each_fault_is_told_from_all_others(change: dict[str, object], code: str) -> None:
    assert codes(replace(GOOD, **change)) == [code]  # type: ignore[arg-type]


def test_a_busy_machine_is_no_fault() -> None:
    """A few events come together where a client was late, or where they were sent together."""
    late = ticks([0, 1, 2, 3, 7, 7, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
    assert codes(replace(GOOD, ticks=late)) == []
    at_once = [Tick(n, 0.5, 50.5, 1) for n in range(20)]
    assert codes(replace(GOOD, ticks=at_once)) == []


def test_nothing_is_said_of_what_was_not_seen() -> None:
    seen = replace(GOOD, left_after_s=None, skipped={"leave": "503", "silence": "503"}, seen={})
    assert codes(seen) == []
    assert "not looked at: 503" in report.for_people("https://kb", seen, [])


def test_every_fault_has_advice_for_every_proxy() -> None:
    for changes in advice.CHANGES.values():
        assert tuple(changes) == advice.PROXIES
    everything = replace(GOOD, ended="cut", cut_after_s=5.0, left_after_s=None, version="1.0")
    everything = replace(everything, ticks=ticks([9] * 20), headers={"content-encoding": "gzip"})
    assert set(codes(everything)) == advice.CHANGES.keys()
    told = report.for_people("https://kb", everything, faults(everything))
    assert all(change in told for changes in advice.CHANGES.values() for change in changes.values())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_chunks_are_undone_in_whatever_pieces_they_come(size: int) -> None:
    data = b"5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\n\r\n"
    chunks = _Chunks()
    found = b"".join(chunks.take(data[at : at + size]) for at in range(0, len(data), size))
    assert (found, chunks.over) == (b"hello world", True)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://kb.example.com", ("kb.example.com", 443, True, "")),
        ("kb.example.com/", ("kb.example.com", 443, True, "")),
        ("http://[::1]:8080/below/", ("::1", 8080, False, "/below")),
    ],
)
def test_an_address_is_read(url: str, place: tuple[str, int, bool, str]) -> None:
    assert Place.of(url) == place


@pytest.mark.parametrize("url", ["ftp://kb", "https://", "https://a@kb", "https://kb?x=1", "//"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Place.of(url)
