"""``gateway user`` beside a running gateway: what ends with an account stays ended."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from .fakes import PASSWORD
from .served import served
from .stub_core import META, STREAM_HEAD, StubCore, chunk
from .test_query import terminal


async def user(file: Path, *words: str, stdin: str = "") -> None:
    """One command as an operator types it; it may end before it has read anything."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "user", *words, "--users-file", str(file)),
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate(stdin.encode() or None)
    assert process.returncode == 0, said


async def test_disabling_ends_stream_and_tokens_and_enabling_revives_none(
    core: StubCore, tmp_path: Path
) -> None:
    """A login after it gives a token that lives, whatever second it is."""
    users = tmp_path / "users.json"
    add = ("add", "alice", "--tenant", "acme", "--role", "editor", "--password-stdin")
    await user(users, *add, stdin=f"{PASSWORD}\n")
    async with served(core, tmp_path, 1, USERS_FILE=str(users)) as running:
        running.token = old = await running.log_in("alice")
        core.holds(STREAM_HEAD, chunk(META))
        stream = await running.asking()
        await stream.until(META)
        await user(users, "disable", "alice")
        assert terminal(META + await stream.rest())["code"] == "CREDENTIAL_REVOKED"
        stream.writer.close()
        await user(users, "enable", "alice")
        await running.said("users reloaded", 2)
        assert (await running.get("/api/v1/auth/me", old)).status == 401
        fresh = await running.log_in("alice")
        assert (await running.get("/api/v1/auth/me", fresh)).status == 200
    (refused,) = [line for line in running.lines("request") if line["status"] == 401]
    assert (refused["auth_reason"], refused["account"]) == ("superseded", "alice")
