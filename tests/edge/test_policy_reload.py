"""A policy of the operator's own in every worker: OPA's bundle, replaced while the gateway runs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from gateway.adapters.policy_bundle import BUNDLE_NAME, build_with
from tests.components import component

from .served import Served, served
from .stub_core import StubCore

RULES = """package gateway.authz
default allow := false
allow if input.action == "{}"
reason := "own"
obligations := {{}}
"""
ME, KEYS = "/api/v1/auth/me", "/api/v1/keys"
WORKERS = 2


def put_bundle(folder: Path, scratch: Path, action: str, revision: str) -> None:
    """Replaces the bundle as a deployment does: written beside it, then renamed."""
    opa = component("opa").path
    assert opa is not None
    scratch.mkdir(exist_ok=True)
    (scratch / "authz.rego").write_text(RULES.format(action))
    fresh = scratch / BUNDLE_NAME
    fresh.write_bytes(build_with(opa, scratch, "-r", revision))
    fresh.rename(folder / BUNDLE_NAME)


def put_rego(folder: Path, action: str) -> None:
    """The same as it is written; replaced in one step, too."""
    fresh = folder / "fresh"
    fresh.write_text(RULES.format(action))
    fresh.rename(folder / "authz.rego")


async def statuses(running: Served) -> list[int]:
    return [(await running.get(path)).status for path in (ME, KEYS)]


def compiled_by(running: Served) -> set[str]:
    """Which of the gateway's processes have ever waited for a child of their own."""
    return {str(pid) for pid in running.workers() if _children_cpu(pid) > 0}


def _children_cpu(pid: int) -> int:
    """Clock ticks of children that the process waited for (proc(5): cutime and cstime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[13]) + int(fields[14])


async def test_a_new_bundle_decides_in_every_worker_after_sighup(
    core: StubCore, tmp_path: Path
) -> None:
    """Under its own revision, compiled once for all; one that is no policy changes nothing; and a
    worker that starts later has what the others have, not what lies there by then."""
    folder = tmp_path / "policy"
    folder.mkdir()
    put_bundle(folder, tmp_path / "scratch", "auth:me", "v1")
    async with served(core, tmp_path, WORKERS, POLICY_DIR=str(folder)) as running:
        assert await statuses(running) == [200, 403]
        put_bundle(folder, tmp_path / "scratch", "keys:list", "v2")
        running.signal(signal.SIGHUP)
        lines = await running.said("reloaded", WORKERS)
        assert [line["policy"] for line in lines] == ["v2"] * WORKERS
        assert await statuses(running) == [403, 503]
        if sys.platform == "linux":
            assert compiled_by(running) == set()
        (folder / BUNDLE_NAME).write_bytes(b"no bundle")
        running.signal(signal.SIGHUP)
        faults = await running.said("reload: a fault", WORKERS)
        assert all(fault["fault"].startswith("policy: ") for fault in faults)
        for pid in running.workers():
            os.kill(pid, signal.SIGKILL)
        await running.said("worker ready", 2 * WORKERS)
        assert await statuses(running) == [403, 503]
        put_bundle(folder, tmp_path / "scratch", "auth:me", "v3")
        for pid in running.workers():
            os.kill(pid, signal.SIGKILL)
        await running.said("worker ready", 3 * WORKERS)
        assert await statuses(running) == [403, 503]


@pytest.mark.usefixtures("opa_on_path")
async def test_rego_is_compiled_by_the_supervisor_alone(core: StubCore, tmp_path: Path) -> None:
    """At the start, at a reload and for a worker that starts later: once for them all."""
    folder = tmp_path / "policy"
    folder.mkdir()
    put_rego(folder, "auth:me")
    async with served(core, tmp_path, WORKERS, POLICY_DIR=str(folder)) as running:
        assert await statuses(running) == [200, 403]
        put_rego(folder, "keys:list")
        running.signal(signal.SIGHUP)
        await running.said("reloaded", WORKERS)
        assert await statuses(running) == [403, 503]
        os.kill(next(iter(running.workers())), signal.SIGKILL)
        await running.said("worker ready", WORKERS + 1)
        assert await statuses(running) == [403, 503]
        if sys.platform == "linux":
            assert compiled_by(running) == set()
