"""Workers that stay: spread, replaced when they die or hang, reloaded without a dropped byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.adapters.argon2_passwords import hash_password

from .conftest import Streaming
from .fakes import PASSWORD
from .raw import reset
from .served import Served, environment, free_port, served, until
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk
from .test_query import terminal

LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="looks into /proc, spreads by the kernel"
)
STREAMS = 200
OLD = "the first secret of forty bytes ........"
NOBODYS = "a secret that signs nothing, of 40 b...."
NEW = "the second secret of forty bytes ......."
HASH = hash_password(PASSWORD)


def accepted(running: Served) -> list[int]:
    """How many of its clients' connections each worker holds."""
    established = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, _, state, *rest = line.split()[1:]
        if int(local.split(":")[1], 16) == running.address[1] and state == "01":
            established.add(f"socket:[{rest[5]}]")
    return [len(established & open_files(pid)) for pid in running.workers()]


def open_files(pid: int) -> set[str]:
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(os.readlink(descriptor))
    return found


@contextlib.asynccontextmanager
async def connections(address: tuple[str, int], number: int) -> AsyncIterator[None]:
    """So many, one after another, that say nothing."""
    writers = []
    try:
        for _ in range(number):
            writers.append((await asyncio.open_connection(*address))[1])
        yield
    finally:
        for writer in writers:
            reset(writer)


@LINUX
async def test_connections_spread_over_workers(core: StubCore, tmp_path: Path) -> None:
    """200 connections over two workers split 40/60 or better. Three tries: it is a hash."""
    async with served(core, tmp_path, 2, HEAD_TIMEOUT="60s") as running:
        shares = []
        for _ in range(3):
            await until(lambda: sum(accepted(running)) == 0)
            async with connections(running.address, 200):
                await until(lambda: sum(accepted(running)) == 200)
                shares.append(accepted(running))
        assert any(80 <= share[0] <= 120 for share in shares), shares


async def test_a_killed_worker_takes_its_own_streams_only_and_is_replaced(
    core: StubCore, tmp_path: Path
) -> None:
    """kill -9 in the middle of 200 streams: the others end well, and its successor serves."""
    async with served(core, tmp_path, 2) as running:
        go_on = core.holds(STREAM_HEAD, chunk(META), then=chunk(DONE) + END)
        streams = await asyncio.gather(*(running.asking() for _ in range(STREAMS)))
        await asyncio.gather(*(stream.until(META) for stream in streams))
        victim = running.workers()[0]
        os.kill(victim, signal.SIGKILL)
        killed_at = time.monotonic()
        (died,) = await running.said("worker died")
        assert (died["worker"], died["pid"], died["reason"]) == (0, victim, "SIGKILL")
        await running.said("worker ready", 3)
        replaced_s = time.monotonic() - killed_at
        assert running.workers()[0] != victim
        go_on.set()
        endings = Counter(await asyncio.gather(*(ending_of(stream) for stream in streams)))
        assert set(endings) == {"done", "broken"}
        assert endings["done"] >= 20
        assert endings["broken"] >= 20
        core.script = core.answer_well
        answers = await asyncio.gather(*(running.get("/healthz") for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        print(f"replaced after {replaced_s:.2f} s; {dict(endings)}")
        assert replaced_s < 5.0


async def ending_of(stream: Streaming) -> str:
    try:
        rest = await stream.rest()
    except (ConnectionError, asyncio.IncompleteReadError):
        return "broken"
    finally:
        stream.writer.close()
    return "done" if rest.endswith(DONE) else str(terminal(META + rest)["code"])


async def test_connections_wait_for_a_dead_workers_successor(
    core: StubCore, tmp_path: Path
) -> None:
    """The socket outlives the worker: what comes while nobody accepts is answered afterwards."""
    async with served(core, tmp_path, 1) as running:
        os.kill(running.workers()[0], signal.SIGKILL)
        answers = await asyncio.gather(*(running.get("/healthz") for _ in range(50)))
        assert {answer.status for answer in answers} == {200}
        assert len(running.lines("worker died")) == 1


async def test_a_hanging_worker_is_ended_and_replaced(core: StubCore, tmp_path: Path) -> None:
    """One whose loop does not turn has no heartbeat; it is told from one that died."""
    async with served(core, tmp_path, 1) as running:
        os.kill(running.workers()[0], signal.SIGSTOP)
        (died,) = await running.said("worker died")
        assert died["reason"].startswith("hung (no heartbeat for 1")
        await running.said("worker ready", 2)
        assert (await running.get("/healthz")).status == 200


async def test_a_worker_told_to_stop_drains_and_has_a_successor_meanwhile(
    core: StubCore, tmp_path: Path
) -> None:
    """SIGTERM to one worker alone: its stream runs on beside the new worker."""
    async with served(core, tmp_path, 1, DRAIN_LIMIT="60s") as running:
        go_on = core.holds(STREAM_HEAD, chunk(META))
        stream = await running.asking()
        await stream.until(META)
        os.kill(running.workers()[0], signal.SIGTERM)
        await running.said("worker ready", 2)
        assert (await running.get("/api/v1/auth/me")).status == 200
        go_on.set()
        assert terminal(META + await stream.rest())["code"] == "CORE_TRUNCATED"
        stream.writer.close()
        await running.said("worker ended")
        assert running.lines("worker died") == []


async def test_a_worker_that_cannot_start_ends_the_whole(core: StubCore, tmp_path: Path) -> None:
    """Three times, then a line that says so and a status that is not 0."""
    with (tmp_path / "log").open("wb") as log, contextlib.closing(await _taken_port()) as taken:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve"),
            # The admin's address is somebody else's: only a worker finds out.
            env=environment(core, free_port(), {"ADMIN_LISTEN_PORT": _port_of(taken)}),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        async with asyncio.timeout(60):
            assert await process.wait() == 1
    running = Served(process, ("127.0.0.1", 0), tmp_path / "log")
    assert len(running.lines("worker died")) == 3
    (said,) = running.lines("giving up: a worker cannot start")
    assert said["attempts"] == 3
    (warned,) = running.lines("the admin address is not free")
    assert warned["problem"] == "Address already in use"


async def _taken_port() -> asyncio.Server:
    return await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)


def _port_of(server: asyncio.Server) -> str:
    return str(server.sockets[0].getsockname()[1])


async def test_a_second_gateway_on_the_same_address_is_refused(
    core: StubCore, tmp_path: Path
) -> None:
    """Sockets that share an address would let two gateways split the clients without a word."""
    async with served(core, tmp_path, 2) as running:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve"),
            env=environment(core, running.address[1], {}),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            _, said = await process.communicate()
        assert process.returncode == 1
        assert f"cannot listen on 127.0.0.1:{running.address[1]}: ".encode() in said


async def test_workers_of_a_dead_supervisor_end_by_themselves(
    core: StubCore, tmp_path: Path
) -> None:
    """Nobody would replace them, or stop them: they drain, and are gone."""
    async with served(core, tmp_path, 2) as running:
        pids = running.workers()
        running.signal(signal.SIGKILL)
        await running.ended()
        await until(lambda: not any(alive(pid) for pid in pids), lambda: running.log.read_text())


def alive(pid: int) -> bool:
    """Whether a process is there and no corpse (a container's first process may reap nobody)."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def test_a_reload_takes_over_secrets_and_drops_nobody(core: StubCore, tmp_path: Path) -> None:
    """SIGHUP: the new secret signs, the one before still verifies, a running stream runs on."""
    secret, before = tmp_path / "secret", tmp_path / "before"
    secret.write_text(OLD)
    before.write_text(NOBODYS)
    files = {"JWT_SECRET": "", "JWT_SECRET_FILE": str(secret)}
    files["JWT_SECRET_PREVIOUS_FILE"] = str(before)
    async with served(core, tmp_path, 2, **files) as running:
        go_on = asyncio.Event()

        async def says_more_and_stays(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            writer.write(STREAM_HEAD + chunk(META))
            await go_on.wait()
            writer.write(chunk(TOKEN))
            await reader.read()

        core.script = says_more_and_stays
        stream = await running.asking()
        await stream.until(META)
        secret.write_text(NEW)
        before.write_text(OLD)
        running.signal(signal.SIGHUP)
        await running.said("reloaded", 2)
        assert (await running.get("/api/v1/auth/me")).status == 200
        go_on.set()
        await stream.until(TOKEN)
        before.write_text(NOBODYS)
        running.signal(signal.SIGHUP)
        await running.said("reloaded", 4)
        assert (await running.get("/api/v1/auth/me")).status == 401
        fresh = await running.log_in()
        assert (await running.get("/api/v1/auth/me", fresh)).status == 200
        # Its token is of the secret that nobody has any more; the next round of rechecks ends it.
        assert terminal(META + await stream.rest())["code"] == "CREDENTIAL_REVOKED"
        stream.writer.close()


@pytest.mark.usefixtures("opa_on_path")
async def test_a_bad_reload_changes_nothing_and_names_every_fault(
    core: StubCore, tmp_path: Path
) -> None:
    """Settings, users and policy: one that is wrong keeps all of the old ones."""
    secret, users, policy = tmp_path / "secret", tmp_path / "users.json", tmp_path / "policy"
    secret.write_text(OLD)
    users.write_text(json.dumps({"version": 1, "users": {}}))
    source = Path(__file__).parents[2] / "opa"
    (policy / "gateway").mkdir(parents=True)
    (policy / "data.json").write_text((source / "data.json").read_text())
    for rego in (source / "gateway").glob("*.rego"):
        (policy / "gateway" / rego.name).write_text(rego.read_text())
    files = {"JWT_SECRET": "", "JWT_SECRET_FILE": str(secret)}
    files |= {"USERS_FILE": str(users), "POLICY_DIR": str(policy)}
    async with served(core, tmp_path, 1, **files) as running:
        secret.write_text("short")
        running.signal(signal.SIGHUP)
        (fault,) = await running.said("reload: a fault in the settings")
        assert "GATEWAY_JWT_SECRET_FILE" in fault["fault"]
        assert "short" not in running.log.read_text()
        secret.write_text(NEW)
        users.write_text("no users")
        (policy / "gateway" / "authz.rego").write_text("package gateway.authz\nallow if {")
        running.signal(signal.SIGHUP)
        faults = await running.said("reload: a fault", 2)
        assert ["users.json" in faults[0]["fault"], "policy" in faults[1]["fault"]] == [True, True]
        assert await running.said("reload failed; the old settings stay", 2)
        assert (await running.get("/api/v1/auth/me")).status == 200
        assert running.lines("reloaded") == []


async def test_a_users_file_that_became_wrong_keeps_its_accounts_in_new_workers_too(
    core: StubCore, tmp_path: Path
) -> None:
    """Those it had when it was last good, and not those of the first start."""
    users = tmp_path / "users.json"
    users.write_text(accounts("bob", "eve"))
    async with served(core, tmp_path, 1, USERS_FILE=str(users)) as running:
        bob, eve = await running.log_in("bob"), await running.log_in("eve")
        users.write_text(accounts("bob"))
        running.signal(signal.SIGHUP)
        await running.said("reloaded")
        users.write_text("no users")
        running.signal(signal.SIGHUP)
        await running.said("reload failed; the old settings stay")
        os.kill(running.workers()[0], signal.SIGKILL)
        await running.said("worker ready", 2)
        assert (await running.get("/api/v1/auth/me", bob)).status == 200
        assert (await running.get("/api/v1/auth/me", eve)).status == 401
        reloads = len(running.lines("users reloaded"))
        users.write_text(accounts("eve"))
        await running.said("users reloaded", reloads + 1)
        assert (await running.get("/api/v1/auth/me", bob)).status == 401
    assert running.process.returncode == 0


def accounts(*names: str) -> str:
    """A users file; its text changes with the names alone, so that tokens stay good."""
    entry = {"tenant": "acme", "roles": ["reader"], "password_hash": HASH}
    entry["password_changed_at"] = "2026-01-01T00:00:00Z"
    return json.dumps({"version": 1, "users": dict.fromkeys(names, entry)})


async def test_a_reload_reaches_workers_that_start_later(core: StubCore, tmp_path: Path) -> None:
    """A worker that replaces another one has the secrets of now, not those of the first start."""
    secret = tmp_path / "secret"
    secret.write_text(OLD)
    files = {"JWT_SECRET": "", "JWT_SECRET_FILE": str(secret)}
    async with served(core, tmp_path, 1, **files) as running:
        secret.write_text(NEW)
        running.signal(signal.SIGHUP)
        await running.said("reloaded")
        fresh = await running.log_in()
        os.kill(running.workers()[0], signal.SIGKILL)
        await running.said("worker ready", 2)
        assert (await running.get("/api/v1/auth/me", fresh)).status == 200
        assert (await running.get("/api/v1/auth/me")).status == 401


def hashing(running: Served) -> list[int]:
    """The workers that have the turn to hash: a lock that Linux tells the holder of."""
    held = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    holders = {int(fields[4]) for fields in held if "->" not in fields}
    return [pid for pid in running.workers() if pid in holders]


@LINUX
async def test_logins_of_two_workers_take_turns(core: StubCore, tmp_path: Path) -> None:
    """A worker killed while it hashes keeps no turn for itself: who was not its client is answered,
    and so is everybody afterwards."""
    async with served(core, tmp_path, 2) as running:
        logins = [asyncio.create_task(running.log_in()) for _ in range(12)]
        async with asyncio.timeout(60):
            while not (killed := hashing(running)):  # noqa: ASYNC110  # in another process
                await asyncio.sleep(0)
        assert len(killed) == 1
        os.kill(killed[0], signal.SIGKILL)
        for told in await asyncio.gather(*logins, return_exceptions=True):
            assert isinstance(told, str | ConnectionError | asyncio.IncompleteReadError), told
        await running.said("worker ready", 3)
        assert await asyncio.gather(*(running.log_in() for _ in range(12)))
