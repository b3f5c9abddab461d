"""What the gateway is while nobody asks: memory and CPU of all its processes, and its imports.

On real components, all of them connected and used once (a login, a key, a document announced, a
question), because a client that has not connected yet is small. Linux only.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from benchmarks import proc
from benchmarks.figures import Row
from devstack.environment import ADMIN
from devstack.stack import Stack

KIB_PER_MIB = 1024
SETTLE_S = 3.0
LOGINS = 24
_IMPORTS = (
    "import time; b = time.process_time(); import gateway.app; print(time.process_time() - b)"
)


async def measure(
    *, workers: int = 2, opa_server: bool = True, seconds: float = 20.0, rounds: int = 3
) -> list[Row]:
    """A row a round; ``seconds`` is how long nothing is asked while CPU time is counted.

    Raises:
        Missing, StartFailed: the components it stands on.
    """
    async with Stack(
        choices={"opa": "real" if opa_server else "embedded"},
        gateway_workers=workers,
        gateway_settings={"GATEWAY_LOG_FORMAT": "json"},
    ) as stack:
        rows = []
        for number in range(rounds):
            if number:
                await stack.restart("gateway")
            rows.append(await _round(stack, number, workers, seconds))
        return rows


async def _round(stack: Stack, number: int, workers: int, seconds: float) -> Row:
    pid = stack.child("gateway").pid
    assert pid is not None
    fresh = _memory(pid)
    await _use_everything(stack, workers)
    await asyncio.sleep(SETTLE_S)
    cpu_s, began = proc.cpu_s(pid), time.monotonic()
    await asyncio.sleep(seconds)
    idle = (proc.cpu_s(pid) - cpu_s) / (time.monotonic() - began) * 1000
    rest = _memory(pid)
    peak = await _while_logging_in(stack, pid)
    return {
        "system": "gateway",
        "streams": 0,
        "round": number,
        "import_cpu_s": round(await asyncio.to_thread(import_cpu_s), 3),
        "idle_millicores": round(idle, 2),
        "fresh_pss_mib": fresh["all"],
        "pss_mib": rest["all"],
        "supervisor_pss_mib": rest["supervisor"],
        "worker_pss_mib": rest["worker"],
        "login_pss_mib": peak["all"],
        "login_worker_pss_mib": peak["worker"],
        "processes": rest["processes"],
    }


def import_cpu_s() -> float:
    """CPU seconds of importing the application in a fresh interpreter with warm files."""
    times = [
        float(
            subprocess.run(
                [sys.executable, "-c", _IMPORTS],
                capture_output=True,
                text=True,
                check=True,
                cwd="/",
            ).stdout
        )
        for _ in range(3)
    ]
    return min(times)


def _memory(pid: int) -> Mapping[str, float]:
    """MiB: the supervisor's, the largest worker's, and all together."""
    children = [
        int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]
    each = [proc.memory_of(child).pss_kib / KIB_PER_MIB for child in children]
    own = proc.memory_of(pid).pss_kib / KIB_PER_MIB
    return {
        "supervisor": round(own, 1),
        "worker": round(max(each), 1),
        "all": round(own + sum(each), 1),
        "processes": 1 + len(children),
    }


async def _use_everything(stack: Stack, workers: int) -> None:
    """Enough, each on a connection of its own, for every worker to get its share."""
    credential = {"Authorization": f"Bearer {await _log_in(stack)}"}
    for number in range(8 * workers):
        async with httpx.AsyncClient(
            base_url=f"{stack.base_url}/api/v1", headers=credential, trust_env=False, timeout=30
        ) as client:
            key = await client.post("/keys", json={"name": f"k{number}", "scopes": ["auth:me"]})
            await client.get(
                "/auth/me", headers={"X-API-Key": key.json()["secret"], "Authorization": ""}
            )
            announced = {"filename": "a.txt", "content_type": "text/plain", "size": 5}
            await client.post("/documents", json=announced)
            await client.get("/documents")
            await client.post("/query", json={"query": "What is there?"})


async def _log_in(stack: Stack) -> str:
    async with httpx.AsyncClient(base_url=stack.base_url, trust_env=False, timeout=60) as client:
        said = {"username": ADMIN, "password": stack.secrets.admin_password}
        answer = await client.post("/auth/login", json=said)
        return str(answer.json()["access_token"]) if answer.is_success else ""


async def _while_logging_in(stack: Stack, pid: int) -> Mapping[str, float]:
    """The most that was seen while logins were under way at every worker."""
    logins = asyncio.gather(*(_log_in(stack) for _ in range(LOGINS)))
    seen = [_memory(pid)]
    while not logins.done():
        seen.append(await asyncio.to_thread(_memory, pid))
        await asyncio.sleep(0.005)
    return max(seen, key=lambda memory: memory["all"])


def _print(row: Row) -> None:
    print(
        "  ".join(
            f"{name} {value}" for name, value in row.items() if name not in ("system", "streams")
        ),
        flush=True,
    )


if __name__ == "__main__":
    for found in asyncio.run(
        measure(opa_server="--embedded" not in sys.argv, rounds=1, seconds=10)
    ):
        _print(found)
