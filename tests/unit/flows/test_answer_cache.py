"""Answers that need not be made twice: what is kept, for whom, and who waits for whom."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.stream import CoreReset
from gateway.errors import (
    CoreLacks,
    CoreProtocolError,
    CoreTruncated,
    CoreUnavailable,
    Draining,
)
from gateway.flows.answer_cache import CachedQuestion
from gateway.flows.answer_stream import Answer
from gateway.flows.json_answer import collect

from .answers_world import ASKED, DONE, META, TOKEN, WHOLE, World, settle, who
from .scripted_core import Said, TakingClient
from .test_answer_stream import MovedTime

HIT = "kb-gateway; hit; ttl=60"
MISS = "kb-gateway; fwd=miss"


def status(answer: Answer) -> str:
    assert isinstance(answer.cached, CachedQuestion)
    return answer.cached.status


async def is_kept(world: World) -> bool:
    """Whether the next one who asks gets a kept answer."""
    asked = world.asked
    await world.ask()
    return world.asked == asked


async def test_the_second_answer_is_the_first_one_again() -> None:
    """Byte for byte, its query id too; the core is asked once."""
    world = World()
    first, made = await world.ask()
    again, replayed = await world.ask()
    assert first == again == META + TOKEN + DONE
    assert world.asked == 1
    assert (status(made), status(replayed)) == (MISS, HIT)
    assert made.cached is not None
    assert replayed.cached is not None
    assert (made.cached.is_replayed, replayed.cached.is_replayed) == (False, True)
    assert made.end is not None
    assert replayed.end is not None
    assert (made.end.outcome, made.end.events) == (replayed.end.outcome, replayed.end.events)
    assert (world.cache.count.hits, world.cache.count.misses) == (1, 1)


async def test_a_kept_answer_is_read_as_json_too() -> None:
    """Whatever it was kept from: the shape is the door's."""
    world = World()
    await world.ask()
    async with world.query.open(who(), ASKED) as answer:
        found = await collect(answer, world.ticker, limit_bytes=4096)
    assert (found.answer, found.query_id, world.asked) == ("a", "q", 1)
    size_bytes = world.kept.size_bytes
    async with world.query.open(who(), ASKED) as again:
        assert await collect(again, world.ticker, limit_bytes=4096) == found
    assert world.kept.size_bytes == size_bytes  # what was read once is kept, and counted, once
    assert again.end is not None
    assert answer.end is not None
    assert (again.end.outcome, again.end.events) == ("done", 3)
    assert again.end.sent_bytes == answer.end.sent_bytes
    async with world.query.open(who(), ASKED) as long:
        with pytest.raises(CoreProtocolError):
            await collect(long, world.ticker, limit_bytes=10)


events = st.sampled_from(
    [TOKEN, b": alive\n\n", b"data: x\r\n\r\n", b"data: y\r\r", b"id: 1\ndata: z\n\n", b"\n"]
)


@given(st.lists(events, max_size=8), st.lists(st.integers(0, 200), max_size=6), st.booleans())
@settings(max_examples=200, deadline=None)
def test_however_it_was_cut_it_is_replayed_alike(
    between: list[bytes], cuts: list[int], ends_late: bool
) -> None:
    """Any events, any line ends, any reads: the second client gets the first one's bytes."""
    whole = b"".join([META, *between, DONE]) + (b"\n" if ends_late else b"")
    at = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})
    pieces = [whole[begin:end] for begin, end in itertools.pairwise(at)]

    async def twice() -> None:
        world = World(*pieces, None)
        first, _ = await world.ask()
        again, replayed = await world.ask()
        assert first == again
        assert (world.asked, status(replayed)) == (1, HIT)

    asyncio.run(twice())


@pytest.mark.parametrize(
    "said",
    [
        (META, TOKEN, None),
        (META, TOKEN, b"event: done\n", None),
        (META, b'event: error\ndata: {"error":{"code":"OVERLOADED"}}\n\n', None),
        (META, CoreReset()),
        (META, CoreTruncated()),
        (META, DONE + TOKEN, None),
        (META, RuntimeError("a fault of ours")),
        (META, b"data: " + b"x" * 200, None),
    ],
    ids=["no end", "half an end", "error", "reset", "cut", "excess", "fault", "oversize"],
)
async def test_only_an_answer_that_ended_with_done_is_kept(said: tuple[Said, ...]) -> None:
    """However else it ends, the next one asks the core."""
    world = World(*said, event_limit_bytes=100)
    await world.ask()
    assert not await is_kept(world)
    assert world.kept.size_bytes == 0


async def test_an_answer_whose_client_left_is_not_kept() -> None:
    """Nobody knows how it would have ended."""
    world = World(META, TOKEN)
    task = asyncio.ensure_future(world.ask())
    await settle()
    task.cancel()
    await asyncio.wait([task])
    assert world.core.streams[0].closed == 1
    assert world.kept.size_bytes == 0
    world.core.answer = WHOLE
    assert not await is_kept(world)


@pytest.mark.parametrize(
    "other",
    [who("bob"), who("ann", "other"), who("ann", "acme", "admin"), who("ann", "acme", "x", "y")],
    ids=["subject", "tenant", "role", "roles"],
)
async def test_nobody_gets_an_answer_that_was_made_for_somebody_else(other: Any) -> None:
    """Nor under other roles: the core is told them, and may answer by them."""
    world = World()
    await world.ask()
    await world.ask(other)
    assert world.asked == 2


async def test_another_policy_leaves_all_answers_behind() -> None:
    """What was answered under the old one is not given under the new one."""
    world = World()
    await world.ask()
    world.policy = "p2"
    assert not await is_kept(world)
    assert await is_kept(world)


async def test_another_revision_leaves_an_owners_answers_behind() -> None:
    """They leave memory when it is known; it is known a second later at most."""
    world = World()
    await world.ask()
    assert len(world.kept) == 1
    world.core.revision_now = "2"
    world.clock.now += 1.0
    assert not await is_kept(world)
    assert len(world.kept) == 1  # the new one
    assert await is_kept(world)


async def test_what_the_core_says_of_other_calls_counts_at_once() -> None:
    """A deletion's answer names the revision behind it: no kept answer is given from then on."""
    world = World()
    await world.ask()
    world.core.revision_now = "2"
    assert world.core.listener is not None
    world.core.listener.told("acme", "bob", "2", world.clock.now)
    assert await is_kept(world)
    world.core.listener.told("acme", "ann", "2", world.clock.now)
    assert len(world.kept) == 0
    assert not await is_kept(world)


async def test_an_answer_is_kept_under_the_revision_that_its_head_names() -> None:
    """Whatever was remembered when it was asked for."""
    world = World()
    await world.revisions.get(who())
    world.core.revision_now = "2"
    await world.ask()
    assert (world.asked, len(world.kept)) == (1, 1)
    assert await is_kept(world)


async def test_an_answer_during_which_a_document_changed_is_not_kept() -> None:
    """It may have been made of either."""
    world = World(META)
    task = asyncio.ensure_future(world.ask())
    await settle()
    world.core.revision_now = "2"
    world.core.streams[0].say(TOKEN, DONE, None)
    await task
    assert (len(world.kept), world.kept.size_bytes) == (0, 0)


@pytest.mark.parametrize("lacks", ["no call", "none named", "head without", "fails"])
async def test_a_core_that_tells_no_revision_is_never_cached(lacks: str) -> None:
    """Its answers pass as ever, and nothing of them is kept."""
    world = World()
    match lacks:
        case "no call":
            world.core.revision_now, world.core.head = CoreLacks(), None
        case "none named":
            world.core.revision_now = world.core.head = None
        case "head without":
            world.core.head = None
        case "fails":
            world.core.revision_now, world.core.head = CoreUnavailable(), "1"
    for n in (1, 2):
        got, _ = await world.ask()
        assert (got, world.asked) == (META + TOKEN + DONE, n)
    assert world.kept.size_bytes == 0


async def test_a_core_without_the_call_is_asked_once_a_minute() -> None:
    """Not before each question."""
    world = World()
    world.core.revision_now, world.core.head = CoreLacks(), None
    for _ in range(3):
        world.clock.now += 10.0
        await world.ask()
    assert world.core.asked_revision == 1
    world.clock.now += 60.0
    await world.ask()
    assert world.core.asked_revision == 2


async def test_a_core_that_is_slow_to_tell_holds_no_question_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a moment the question goes on without."""
    monkeypatch.setattr("gateway.flows.corpus_revisions.WAIT_S", 0.0)
    world = World()
    world.core.may_tell.clear()
    got, answer = await world.ask()
    assert (got, world.asked) == (META + TOKEN + DONE, 1)
    assert status(answer) == "kb-gateway; fwd=bypass; detail=no-revision"
    world.core.may_tell.set()
    await settle()


async def test_no_cache_has_the_core_asked_and_no_store_nothing_kept() -> None:
    """The first one's answer takes the kept one's place, the second one's does not."""
    world = World()
    await world.ask()
    world.core.answer = (META, DONE, None)
    got, answer = await world.ask(cache_control="no-store")
    assert (got, status(answer)) == (META + DONE, "kb-gateway; fwd=request")
    assert (await world.ask())[0] == META + TOKEN + DONE
    got, answer = await world.ask(cache_control="no-cache")
    assert (got, status(answer)) == (META + DONE, "kb-gateway; fwd=request")
    assert (await world.ask())[0] == META + DONE
    assert world.asked == 3


@pytest.mark.parametrize("field", ["conversation_id", "messages"])
async def test_a_question_in_a_conversation_is_neither_kept_nor_looked_up(field: str) -> None:
    """Nor is the revision asked for."""
    world = World()
    for n in (1, 2):
        _, answer = await world.ask(body={**ASKED, field: "c"})
        assert (world.asked, status(answer)) == (n, "kb-gateway; fwd=bypass")
    assert (world.core.asked_revision, len(world.kept)) == (0, 0)


async def test_an_answer_that_is_too_long_passes_and_is_not_kept() -> None:
    """Nobody copies it or waits for it again while that is remembered."""
    long = b"data: " + b"x" * 4000 + b"\n\n"
    world = World(META, long, DONE, None)
    got, _ = await world.ask()
    assert got == META + long + DONE
    got, answer = await world.ask()
    assert got == META + long + DONE
    assert (world.asked, status(answer)) == (2, "kb-gateway; fwd=bypass; detail=too-long")


async def test_where_there_is_no_room_an_answer_passes() -> None:
    """Copies that are under way take the room of kept ones, and no more than there is."""
    world = World(limit_bytes=1000)
    assert world.kept.reserve(990)
    got, _ = await world.ask()
    assert got == META + TOKEN + DONE
    assert world.kept.size_bytes == 990


async def test_answers_leave_when_their_time_is_over() -> None:
    """Also for the next one who asks."""
    world = World()
    await world.ask()
    world.clock.now += 60.0
    assert not await is_kept(world)


# --- several who ask the same at once ------------------------------------------------------------


async def waiting(world: World, n: int, client: TakingClient | None = None) -> list[Any]:
    tasks = [asyncio.ensure_future(world.ask(client=client)) for _ in range(n)]
    await settle()
    return tasks


async def test_who_asks_the_same_at_once_waits_for_the_first_answer() -> None:
    """The core is asked once; each gets the whole answer."""
    world = World(META)
    tasks = await waiting(world, 5)
    assert world.asked == 1
    world.core.streams[0].say(TOKEN, DONE, None)
    got = [await task for task in tasks]
    assert {data for data, _ in got} == {META + TOKEN + DONE}
    assert world.asked == 1
    assert [status(answer) for _, answer in got] == [MISS, *[f"{MISS}; collapsed"] * 4]


async def test_if_the_first_one_leaves_the_next_one_asks_for_all() -> None:
    """Nobody else's answer ends with his."""
    world = World(META)
    tasks = await waiting(world, 4)
    tasks[0].cancel()
    await settle()
    assert world.asked == 2
    world.core.streams[1].say(TOKEN, DONE, None)
    got = [await task for task in tasks[1:]]
    assert {data for data, _ in got} == {META + TOKEN + DONE}
    assert world.asked == 2


async def test_one_who_waits_may_leave() -> None:
    """The others wait on."""
    world = World(META)
    tasks = await waiting(world, 3)
    tasks[1].cancel()
    await settle()
    world.core.streams[0].say(TOKEN, DONE, None)
    assert {(await task)[0] for task in (tasks[0], tasks[2])} == {META + TOKEN + DONE}
    assert world.asked == 1


@pytest.mark.parametrize("how", ["ends badly", "is too long", "names no revision"])
async def test_if_the_first_answer_fails_each_asks_for_himself(how: str) -> None:
    """At once: a core that fails slowly would else fail them one after the other."""
    world = World(META)
    if how == "names no revision":
        world.core.head = None
    tasks = await waiting(world, 4)
    match how:
        case "ends badly":
            world.core.streams[0].say(None)
        case "is too long":
            world.core.streams[0].say(b"data: " + b"x" * 5000 + b"\n\n")
    await settle()
    assert world.asked == 4
    for stream in world.core.streams[1:]:
        stream.say(TOKEN, DONE, None)
    got = [await task for task in tasks[1:]]
    assert {data for data, _ in got} == {META + TOKEN + DONE}
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])


async def test_a_refused_question_is_refused_to_each_by_the_core() -> None:
    """Before the head, with its true status."""
    world = World()
    world.core.refusal = CoreUnavailable()
    tasks = await waiting(world, 3)
    for task in tasks:
        with pytest.raises(CoreUnavailable):
            await task
    assert world.cache.under_way == {}


async def test_who_waits_for_half_the_time_of_a_first_event_asks_himself() -> None:
    """Else a slow answer of somebody else would end his own with a time-out."""
    clock = MovedTime(asyncio.get_running_loop())
    world = World(META, first_event_s=20.0)
    tasks = await waiting(world, 2)
    await clock.advance(9.9)
    assert world.asked == 1
    await clock.advance(0.2)
    assert world.asked == 2
    for stream in world.core.streams:
        stream.say(TOKEN, DONE, None)
    assert {(await task)[0] for task in tasks} == {META + TOKEN + DONE}


async def test_a_stop_reaches_one_who_waits() -> None:
    """A drain does not wait for an answer that he only waits for."""
    world = World(META)
    [first] = await waiting(world, 1)
    answer = world.query.open(who(), ASKED)
    entering = asyncio.ensure_future(answer.__aenter__())
    await settle()
    answer.stop(Draining())
    with pytest.raises(Draining):
        await entering
    first.cancel()
    await asyncio.wait([first])


async def test_if_a_document_changes_meanwhile_those_who_wait_ask_anew() -> None:
    """What was answered of the old ones is nothing for them."""
    world = World(META)
    tasks = await waiting(world, 3)
    world.core.revision_now = "2"
    world.core.streams[0].say(TOKEN, DONE, None)
    await settle()
    assert world.asked == 2
    world.core.streams[1].say(DONE, None)
    got = [(await task)[0] for task in tasks]
    assert got == [META + TOKEN + DONE, META + DONE, META + DONE]


# --- a client that takes its time ---------------------------------------------------------------


async def test_a_slow_client_is_given_no_more_than_it_takes() -> None:
    """A kept answer waits in pieces, not in the client's connection."""
    body = b"".join(b"data: %d\n\n" % n for n in range(2000))
    world = World(META, body, DONE, None)
    world.kept.answer_limit_bytes = 1 << 20
    whole, _ = await world.ask()
    client = TakingClient()
    client.full = True
    task = asyncio.ensure_future(world.ask(client=client))
    await settle()
    held = len(b"".join(client.got))
    assert held < len(whole) // 2
    client.full = False
    for call in client.room:
        call()
    assert (await task)[0] == whole
    assert world.asked == 1
