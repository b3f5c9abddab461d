"""A file's way to the store: as a form, in parts, again, and on from where it stopped."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from knowledge_base import Progress, Retries, UploadInterrupted, UploadState, errors

from .both import Make, make
from .fake_server import ID, PART_BYTES, FakeServer, FakeStore, refused, told

BODY = b"The Aletsch glacier is about twenty kilometres long, as far as we know."
PARTS = -(-len(BODY) // PART_BYTES)
DENIED = "<Error><Code>AccessDenied</Code></Error>"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "glacier.txt"
    path.write_bytes(BODY)
    return path


def stored(server: FakeServer, *, in_parts: bool) -> FakeStore:
    store = FakeStore(in_parts=in_parts)
    server.usual = store
    return store


def failing(store: FakeStore, n: int, *answers: Any) -> None:
    """The next times it is sent this part, the store answers so."""
    waiting = list(answers)
    store.fails = lambda sent: waiting.pop(0)() if sent == n and waiting else None


async def test_a_small_file_goes_as_a_form(client: Make, server: FakeServer, file: Path) -> None:
    """With its checksum; without our credential; and then it is completed."""
    store, told_of = stored(server, in_parts=False), list[Progress]()
    found = await client().call("documents.upload", file, on_progress=told_of.append)
    digest = hashlib.sha256(BODY).hexdigest()
    assert (found.document_id, found.sha256, found.size) == (ID, digest, len(BODY))
    assert store.announced == [{"filename": file.name, "size": len(BODY), "sha256": digest}]
    assert store.form == BODY
    assert store.completed == {}
    assert (told_of[-1].sent, told_of[-1].total) == (len(BODY), len(BODY))


@pytest.mark.parametrize("status", [500, 503, None])
async def test_a_form_is_sent_again(
    status: int | None, client: Make, server: FakeServer, file: Path, waits: list[float]
) -> None:
    """The store was away for a moment; what a failed try told is taken back."""
    store, told_of = stored(server, in_parts=False), list[Progress]()
    failing(store, 0, lambda: told(status) if status else httpx.WriteError("reset"))
    await client().call("documents.upload", file, on_progress=told_of.append)
    assert store.form == BODY
    assert len(waits) == 1
    assert [one.sent for one in told_of if one.sent in (0, len(BODY))][-2:] == [0, len(BODY)]


async def test_a_refused_form_says_why(client: Make, server: FakeServer, file: Path) -> None:
    """In the store's word, at once."""
    store = stored(server, in_parts=False)
    failing(store, 0, lambda: httpx.Response(400, text="<Code>EntityTooLarge</Code>"))
    with pytest.raises(errors.StoreRefused) as found:
        await client().call("documents.upload", file)
    assert (found.value.status, found.value.code) == (400, "EntityTooLarge")
    assert store.completed is None


async def test_a_large_file_goes_in_parts(client: Make, server: FakeServer, file: Path) -> None:
    """Several at once, each with its ETag; the state is told with each part."""
    store, told_of, states = stored(server, in_parts=True), list[Progress](), list[UploadState]()
    hooks = {"on_progress": told_of.append, "on_state": states.append}
    await client().call("documents.upload", file, **hooks)
    assert store.whole == BODY
    assert [part["n"] for part in store.completed["parts"]] == list(range(1, PARTS + 1))
    assert [len(one.etags) for one in states] == list(range(PARTS + 1))
    assert max(one.sent for one in told_of) == told_of[-1].sent == len(BODY)


class AllAtOnce(FakeServer):
    """Takes no part before all parts are on their way."""

    def __init__(self) -> None:
        super().__init__()
        self.threads = threading.Barrier(PARTS)
        self.waiting, self.all_here = 0, asyncio.Event()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/part":
            self.threads.wait(60)
        return super().__call__(request)

    async def later(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/part":
            self.waiting += 1
            if self.waiting == PARTS:
                self.all_here.set()
            await asyncio.wait_for(self.all_here.wait(), 60)
        return await super().later(request)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_part_waits_for_no_other(kind: str, file: Path) -> None:
    """As many are on their way as may be, also where all addresses come in a few calls."""
    server = AllAtOnce()
    store = stored(server, in_parts=True)
    await make(kind, server).call("documents.upload", file, at_once=PARTS)
    assert store.whole == BODY
    assert sorted(store.signed) == list(range(1, PARTS + 1))


async def test_an_address_that_expired_is_signed_again(
    client: Make, server: FakeServer, file: Path
) -> None:
    """A slow line needs longer than an address lasts."""
    store = stored(server, in_parts=True)
    failing(store, 3, lambda: httpx.Response(403, text=DENIED))
    await client().call("documents.upload", file)
    assert store.whole == BODY
    assert store.signed.count(3) == 2


async def test_an_upload_goes_on_where_it_stopped(
    client: Make, server: FakeServer, file: Path, tmp_path: Path
) -> None:
    """In another process, too: what the store has is not sent again, and counts as sent."""
    store = stored(server, in_parts=True)
    failing(store, 5, *[lambda: told(503)] * 2)
    with pytest.raises(UploadInterrupted) as stopped:
        await client(retries=Retries(times=1)).call("documents.upload", file, at_once=1)
    kept = UploadState.from_json(stopped.value.state.to_json())
    assert sorted(kept.etags) == [1, 2, 3, 4]
    assert isinstance(stopped.value.__cause__, errors.StoreRefused)
    store.signed.clear()
    told_of: list[Progress] = []
    await client().call("documents.upload", file, resume=kept, on_progress=told_of.append)
    assert store.whole == BODY
    assert min(store.signed) == 5
    assert len(store.announced) == 1
    assert told_of[0].sent == 4 * PART_BYTES


@pytest.mark.parametrize("code", ["changed", "NOT_FOUND", "CONFLICT"])
async def test_what_cannot_go_on_begins_anew(
    code: str, client: Make, server: FakeServer, file: Path
) -> None:
    """The file is another one, or the upload has expired."""
    store = stored(server, in_parts=True)
    digest = "0" * 64 if code == "changed" else hashlib.sha256(BODY).hexdigest()
    old = UploadState("0199f0c2-0000-7000-8000-00000000000f", len(BODY), digest, PART_BYTES, {})

    def usual(request: httpx.Request) -> Any:
        gone = old.document_id in request.url.path
        return refused(409 if code == "CONFLICT" else 404, code) if gone else store(request)

    server.usual = usual
    found = await client().call("documents.upload", file, resume=old)
    assert found.document_id == ID
    assert store.whole == BODY


async def test_a_file_that_shrinks_is_not_sent_as_if_it_had_not(
    client: Make, server: FakeServer, file: Path
) -> None:
    """It is noticed where it is read."""
    store = stored(server, in_parts=True)

    def cut(n: int) -> None:
        file.write_bytes(BODY[: PART_BYTES * 4])

    store.fails = cut
    with pytest.raises(UploadInterrupted) as found:
        await client().call("documents.upload", file, at_once=1)
    assert isinstance(found.value.__cause__, errors.FileChanged)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"document_id": 1}', '{"etags": {"x": 1}}'])
def test_what_is_no_state_is_refused(text: str) -> None:
    """A file that was cut in the middle is none."""
    with pytest.raises(ValueError, match="no state"):
        UploadState.from_json(text)


# --- what became of it ----------------------------------------------------------------------------


def document(status: str, **more: Any) -> dict[str, Any]:
    about = {"document_id": ID, "filename": "a.txt", "content_type": "text/plain", "size": 1}
    times = {"created_at": "2027-01-01T00:00:00Z", "progress": None, "error": None}
    return {**about, **times, "status": status, **more}


async def test_a_document_is_watched_until_it_is_settled(
    client: Make, server: FakeServer, waits: list[float]
) -> None:
    """Told when something changed; what has not changed is asked about less and less often."""
    server.answers = [
        told(200, document("processing", stage="queued", ahead=2), ETag='W/"1"'),
        *[told(304) for _ in range(9)],
        told(200, document("processing", stage="reading"), ETag='W/"2"'),
        told(200, document("indexed"), ETag='W/"3"'),
    ]
    found = await client().call("documents.watch", ID)
    assert [(one.status, one.stage) for one in found] == [
        ("processing", "queued"),
        ("processing", "reading"),
        ("indexed", None),
    ]
    assert server.requests[1].headers["if-none-match"] == 'W/"1"'
    assert waits[1] < waits[8] <= 5.0


async def test_a_document_that_failed_is_an_exception_to_who_waits(
    client: Make, server: FakeServer
) -> None:
    """With what is wrong with it."""
    server.answers = [told(200, document("failed", error="It is no PDF."))]
    with pytest.raises(errors.IngestFailed, match=r"It is no PDF\.") as found:
        await client().call("documents.wait", ID)
    assert found.value.document.status == "failed"


async def test_waiting_ends_at_some_time(client: Make, server: FakeServer) -> None:
    """A document may wait for a worker that never comes."""
    server.usual = lambda request: told(200, document("processing"), ETag='"1"')
    with pytest.raises(errors.TimedOut):
        await client().call("documents.wait", ID, timeout=0.0)


async def test_all_pages_are_gone_through(client: Make, server: FakeServer) -> None:
    """An empty one in the middle is not the last."""
    pages = [([document("indexed")], "a"), ([], "b"), ([document("failed")], None)]
    server.answers = [told(200, {"documents": one, "next_cursor": after}) for one, after in pages]
    found = await client().call("documents.list", owner="bob")
    assert [one.status for one in found] == ["indexed", "failed"]
    assert server.requests[-1].url.params["cursor"] == "b"
    assert server.requests[-1].url.params["owner"] == "bob"


@pytest.mark.parametrize("whole", [True, False])
async def test_a_download_is_there_whole_or_not_at_all(
    whole: bool, client: Make, server: FakeServer, tmp_path: Path
) -> None:
    """From the store, without our credential; half of it never has the file's name. A link to a
    file stays one.
    """
    server.answers = [
        told(302, Location="http://store/file?signed"),
        httpx.Response(200 if whole else 403, content=BODY if whole else DENIED),
    ]
    real, to = tmp_path / "there.txt", tmp_path / "link.txt"
    to.symlink_to(real.name)
    if whole:
        await client().call("documents.download", ID, to)
        assert real.read_bytes() == BODY
        assert os.readlink(to) == real.name
    else:
        with pytest.raises(errors.StoreRefused, match="AccessDenied"):
            await client().call("documents.download", ID, to)
    assert "authorization" not in server.requests[-1].headers
    assert sorted(os.listdir(tmp_path)) == sorted([to.name, real.name] if whole else [to.name])


async def test_a_download_replaces_no_device_and_no_folder(
    client: Make, server: FakeServer, tmp_path: Path
) -> None:
    """What is a pipe is written to; into a folder nothing is sent for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    server.answers = [
        told(302, Location="http://store/file?signed"),
        httpx.Response(200, content=BODY),
    ]
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        await client().call("documents.download", ID, pipe)
        assert os.read(reader, 2 * len(BODY)) == BODY
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)
    server.requests.clear()
    for folder in (tmp_path, Path()):
        with pytest.raises(IsADirectoryError):
            await client().call("documents.download", ID, folder)
    assert server.requests == []
