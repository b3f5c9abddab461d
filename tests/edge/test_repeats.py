"""``Idempotency-Key`` as clients meet it: two replicas over a real Redis, which comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.components import Running
from gateway.domain.documents import Announced, DocumentRef
from gateway.errors import TemporalUnavailable
from gateway.ports import Deadline
from tests.components import running_redis

from .conftest import Gateway, running_gateway
from .fakes import MemoryKeys, MemoryWorkflows
from .raw import request
from .stub_core import StubCore

DOCUMENTS, KEYS = "/api/v1/documents", "/api/v1/keys"
ANNOUNCED = {"filename": "a.txt", "content_type": "text/plain", "size": 5}
NEW_KEY = {"name": "k", "scopes": ["query:run"]}
KEY = '"8e03978e-40d5-43e8-bc93-6894a57f9324"'


class Workflows(MemoryWorkflows):
    """Shared by the replicas. ``held`` keeps a start waiting, once it took effect; ``failures`` are
    raised by the next ones, before."""

    def __init__(self) -> None:
        super().__init__()
        self.held: asyncio.Event | None = None
        self.under_way = asyncio.Event()
        self.failures: list[Exception] = []

    async def start(self, ref: DocumentRef, announced: Announced, deadline: Deadline) -> None:
        if self.failures:
            raise self.failures.pop(0)
        await super().start(ref, announced, deadline)
        self.under_way.set()
        if self.held is not None:
            await self.held.wait()


@dataclass
class World:
    one: Gateway
    other: Gateway
    redis: Running
    workflows: Workflows
    keys: MemoryKeys


@contextlib.asynccontextmanager
async def two_replicas(core: StubCore, folder: Path, **settings: str) -> AsyncIterator[World]:
    workflows, keys = Workflows(), MemoryKeys()
    shared: dict[str, Any] = {"workflows": workflows, "keys": keys}
    async with running_redis(folder) as redis:
        # What a busy machine does to Redis's answers is no subject here.
        chosen = {"REDIS_URL": f"redis://{redis.launch.address}", "REDIS_TIMEOUT": "5s", **settings}
        async with (
            running_gateway(core, **shared, **chosen) as one,
            running_gateway(core, **shared, **chosen) as other,
        ):
            yield World(one, other, redis, workflows, keys)


@pytest.fixture
async def world(core: StubCore, tmp_path: Path) -> AsyncIterator[World]:
    async with two_replicas(core, tmp_path) as made:
        yield made


async def post(
    gateway: Gateway,
    target: str = DOCUMENTS,
    body: Any = None,
    *,
    key: str | None = KEY,
    who: str = "alice",
    bearer: dict[str, str] | None = None,
    **more: Any,
) -> httpx.Response:
    headers = (bearer or await gateway.bearer(who)) | (
        {} if key is None else {"Idempotency-Key": key}
    )
    if not more:
        more["json"] = ANNOUNCED if body is None else body
    return await gateway.client.post(target, headers=headers, **more)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_fifty_creates_with_one_key_make_one_document(world: World) -> None:
    """At two replicas at once: one makes it, the others come again and get the same ids."""

    bearer = await world.one.bearer()

    async def create(n: int) -> dict[str, Any]:
        while True:
            answer = await post((world.one, world.other)[n % 2], bearer=bearer)
            if answer.status_code == 201:
                return dict(answer.json())
            assert code(answer) == (409, "CONFLICT")
            assert answer.headers["Retry-After"] == "1"

    tickets = await asyncio.gather(*(create(n) for n in range(50)))
    assert len({ticket["document_id"] for ticket in tickets}) == 1
    assert len({ticket["workflow_id"] for ticket in tickets}) == 1
    assert len(world.workflows.started) == 1


async def test_a_repeat_is_the_same_however_it_is_written(world: World) -> None:
    """Key with quotes or without, fields in another order, a form in place of JSON: its boundary
    is another each time."""
    first = await post(world.one)
    form = {name: (None, str(value)) for name, value in ANNOUNCED.items()}
    others = [
        await post(world.other, key=KEY.strip('"')),
        await post(world.other, body=dict(reversed(ANNOUNCED.items()))),
        await post(world.one, files=form),
        await post(world.one, files=form),
    ]
    for answer in others:
        assert answer.status_code == 201
        assert answer.json()["document_id"] == first.json()["document_id"]
    assert len(world.workflows.started) == 1


async def test_a_form_is_signed_afresh_and_for_no_longer_than_the_first(world: World) -> None:
    """And when the first one is over, 409 names what was made."""
    first = await post(world.one)
    (status,) = world.workflows.started.values()
    world.other.clock.now += 60
    repeat = await post(world.other)
    assert repeat.json()["upload"]["expires_at"] == first.json()["upload"]["expires_at"]
    world.other.clock.now = status.announced.expires_at
    late = await post(world.other)
    assert code(late) == (409, "CONFLICT")
    assert late.json()["error"]["details"]["document_id"] == first.json()["document_id"]
    assert len(world.workflows.started) == 1


async def test_another_body_is_422(world: World) -> None:
    """Also while the first is under way; and nothing is made for it."""
    await post(world.one)
    other = await post(world.other, body={**ANNOUNCED, "size": 6})
    assert code(other) == (422, "IDEMPOTENCY_MISMATCH")
    assert len(world.workflows.started) == 1


async def test_at_the_same_time_it_is_409_with_retry_after(world: World) -> None:
    world.workflows.held = asyncio.Event()
    first = asyncio.create_task(post(world.one))
    await world.workflows.under_way.wait()
    second = await post(world.other)
    assert code(second) == (409, "CONFLICT")
    assert second.headers["Retry-After"] == "1"
    assert code(await post(world.other, body={**ANNOUNCED, "size": 6}))[0] == 422
    world.workflows.held.set()
    assert (await first).status_code == 201


async def test_keys_belong_to_their_caller_and_route(world: World) -> None:
    """Of another user, of one of the same name elsewhere, on another route: another key."""
    made = [
        await post(world.one),
        await post(world.one, who="root"),
        await post(world.other, who="carol"),
    ]
    assert len({answer.json()["document_id"] for answer in made}) == 3
    assert (await post(world.one, KEYS, NEW_KEY)).status_code == 201


async def test_a_keys_secret_is_given_once_and_stored_nowhere(world: World) -> None:
    """The repeat is 409 with the id: of one key, that there is."""
    first = await post(world.one, KEYS, NEW_KEY)
    assert first.status_code == 201
    repeat = await post(world.other, KEYS, NEW_KEY)
    assert code(repeat) == (409, "CONFLICT")
    assert repeat.json()["error"]["details"]["key_id"] == first.json()["key_id"]
    assert list(world.keys.records) == [first.json()["key_id"]]
    assert first.json()["secret"].rpartition("_")[2] not in repeat.text
    dump = await everything(world.redis)
    assert first.json()["secret"].rpartition("_")[2].encode() not in dump


async def everything(redis: Running) -> bytes:
    """All that stands in Redis."""
    found = b""
    for name in (await _ask(redis, b"KEYS *")).split(b"\r\n"):
        if name.startswith(b"kbg:"):
            for command in (b"HGETALL ", b"GET "):
                found += name + await _ask(redis, command + name)
    return found


async def _ask(redis: Running, command: bytes) -> bytes:
    host, _, port = redis.launch.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(command + b"\r\nQUIT\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_completion_is_given_again_as_it_was(world: World) -> None:
    """Same status and body, from memory; for another document the key is another request's."""
    ids = [(await post(world.one, key=key)).json()["document_id"] for key in ("a", "b")]
    for workflow, status in world.workflows.started.items():
        world.workflows.started[workflow] = replace(status, state="processing")
    first = await post(world.one, f"{DOCUMENTS}/{ids[0]}/complete", {})
    assert first.status_code == 202
    world.workflows.started.clear()
    repeat = await post(world.other, f"{DOCUMENTS}/{ids[0]}/complete", {})
    assert (repeat.status_code, repeat.json()) == (202, first.json())
    other = await post(world.other, f"{DOCUMENTS}/{ids[1]}/complete", {})
    assert code(other) == (422, "IDEMPOTENCY_MISMATCH")


async def test_what_was_refused_is_not_remembered(world: World) -> None:
    """A validation error: the corrected request may have the key. A 503: the same one is done."""
    assert code(await post(world.one, body={**ANNOUNCED, "filename": "a.exe"}))[0] == 400
    world.workflows.failures = [TemporalUnavailable()]
    assert code(await post(world.one)) == (503, "TEMPORAL_UNAVAILABLE")
    assert world.workflows.started == {}
    assert (await post(world.other)).status_code == 201
    assert len(world.workflows.started) == 1


async def test_a_client_that_leaves_in_the_middle_finds_its_document(world: World) -> None:
    """It comes again, at the other replica: one document, with the id it had then."""
    world.workflows.held = asyncio.Event()
    headers = {**await world.one.bearer(), "Content-Type": "application/json"}
    body = httpx.Request("POST", "http://x", json=ANNOUNCED).content
    _, writer = await asyncio.open_connection(*world.one.address)
    writer.write(request("POST", DOCUMENTS, {**headers, "Idempotency-Key": KEY}, body))
    await world.workflows.under_way.wait()
    writer.transport.abort()
    world.workflows.held.set()
    while (answer := await post(world.other)).status_code == 409:
        assert answer.headers["Retry-After"] == "1"
    assert answer.status_code == 201
    (status,) = world.workflows.started.values()
    assert answer.json()["document_id"] == status.ref.document_id
    assert not status.cancelled


async def test_a_repeat_is_authorised_anew(world: World) -> None:
    """Whoever may create no more gets 403, and nothing of what he made."""
    await post(world.one)
    users = world.other.users
    users.users["alice"] = replace(users.users["alice"], roles=frozenset({"reader"}))
    users.revision += 1
    answer = await post(world.other)
    assert code(answer) == (403, "FORBIDDEN")


async def test_redis_going_away_makes_nothing_twice(core: StubCore, tmp_path: Path) -> None:
    """Stopped before: 503 and nothing is made. In the middle: 201, and the repeat has the same id
    once Redis is back."""
    # Its data outlives it, as an operator has to see to.
    async with two_replicas(core, tmp_path, IO_DEADLINE="1s") as world:
        world.workflows.held = asyncio.Event()
        first = asyncio.create_task(post(world.one))
        await world.workflows.under_way.wait()
        world.redis.child.freeze()
        world.workflows.held.set()
        made = await first
        assert made.status_code == 201
        refused = await post(world.other, key="another")
        assert code(refused) == (503, "SHARED_STATE_UNAVAILABLE")
        assert refused.headers["Retry-After"] == "1"
        assert (await post(world.other, key=None)).status_code == 201
        world.redis.child.thaw()
        while (repeat := await post(world.other)).status_code in (409, 503):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert repeat.json()["document_id"] == made.json()["document_id"]
        assert len(world.workflows.started) == 2


async def test_a_redis_that_was_stopped_is_asked_again(world: World) -> None:
    await post(world.one)
    await world.redis.child.stop()
    assert code(await post(world.one, key="b")) == (503, "SHARED_STATE_UNAVAILABLE")
    await world.redis.start_again()
    assert (await post(world.one, key="b")).status_code == 201
    assert len(world.workflows.started) == 2


async def test_without_redis_a_key_is_refused_or_ignored(core: StubCore) -> None:
    """By the setting; a request without a key needs no Redis."""
    async with running_gateway(core) as gateway:
        assert code(await post(gateway)) == (503, "SHARED_STATE_UNAVAILABLE")
        assert (await post(gateway, key=None)).status_code == 201
    async with running_gateway(core, IDEMPOTENCY_WITHOUT_REDIS="ignore") as gateway:
        ids = {(await post(gateway)).json()["document_id"] for _ in range(2)}
        assert len(ids) == 2


@pytest.mark.parametrize("key", ["", "a b", '"a";x=1', '"a', "k" * 256])
async def test_what_is_no_key_is_400(gateway: Gateway, key: str) -> None:
    """It names the header, and nothing is made."""
    answer = await post(gateway, key=key)
    assert code(answer) == (400, "VALIDATION_ERROR")
    assert list(answer.json()["error"]["details"]["fields"]) == ["Idempotency-Key"]
    assert gateway.workflows.started == {}


async def test_routes_that_make_nothing_take_no_key(gateway: Gateway) -> None:
    """A question with one is asked each time, and needs no Redis."""
    headers = {**await gateway.bearer(), "Idempotency-Key": KEY}
    answer = await gateway.client.get("/api/v1/auth/me", headers=headers)
    assert answer.status_code == 200
