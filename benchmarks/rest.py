"""The gateway at rest: memory and CPU of all its processes, and its import time.

It runs with real components, all connected and used once (a login, a key, an announced document, a
question), because a client that has not connected yet needs little memory. Linux only.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks import proc
from benchmarks.summary import Row
from devstack.environment import ADMIN
from devstack.stack import Stack

KIB_PER_MIB = 1024
SETTLE_S = 3.0
LOGINS = 24
_IMPORTS = "import time; import gateway.app; print(time.process_time())"


@dataclass(frozen=True, slots=True)
class Target:
    """A running gateway: its supervisor's pid, its address, the admin's password."""

    pid: int
    base_url: str
    password: str

    async def log_in(self) -> str:
        async with httpx.AsyncClient(base_url=self.base_url, trust_env=False, timeout=60) as client:
            credentials = {"username": ADMIN, "password": self.password}
            answer = await client.post("/auth/login", json=credentials)
            return str(answer.json()["access_token"]) if answer.is_success else ""


async def measure(*, workers: int, opa_server: bool, seconds: float, rounds: int) -> list[Row]:
    """One row for each round; CPU time is counted for ``seconds`` without requests.

    Raises:
        Missing, StartFailed: of the components.
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
            pid = stack.child("gateway").pid
            assert pid is not None
            target = Target(pid, stack.base_url, stack.secrets.admin_password)
            rows.append(await one_round(target, number, workers, seconds))
        return rows


async def one_round(target: Target, number: int, workers: int, seconds: float) -> Row:
    await use_everything(target, workers)
    await asyncio.sleep(SETTLE_S)
    idle = await idle_millicores(target, seconds)
    rest = memory(target.pid)
    peak = await while_logging_in(target)
    return {
        "system": "gateway",
        "streams": 0,
        "round": number,
        "workers": workers,
        "import_cpu_s": round(await asyncio.to_thread(import_cpu_s), 3),
        "idle_millicores": round(idle, 2),
        "pss_mib": rest["all"],
        "supervisor_pss_mib": rest["supervisor"],
        "worker_pss_mib": rest["worker"],
        "login_pss_mib": peak["all"],
        "login_worker_pss_mib": peak["worker"],
    }


async def idle_millicores(target: Target, seconds: float) -> float:
    cpu_s, began = proc.cpu_s(target.pid), time.monotonic()
    await asyncio.sleep(seconds)
    return (proc.cpu_s(target.pid) - cpu_s) / (time.monotonic() - began) * 1000


def import_cpu_s() -> float:
    """CPU seconds of a new interpreter that imports the application; the minimum of three."""
    times = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=True
        )
        times.append(float(done.stdout))
    return min(times)


def memory(pid: int) -> Mapping[str, float]:
    """MiB of PSS: the supervisor's, the largest worker's, and all together."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    each = [proc.memory_of(int(child)).pss_kib / KIB_PER_MIB for child in children]
    own = proc.memory_of(pid).pss_kib / KIB_PER_MIB
    return {
        "supervisor": round(own, 1),
        "worker": round(max(each), 1),
        "all": round(own + sum(each), 1),
    }


async def use_everything(target: Target, workers: int) -> None:
    """Enough requests, each on a connection of its own, that every worker gets some."""
    credential = {"Authorization": f"Bearer {await target.log_in()}"}
    announced = {"filename": "a.txt", "content_type": "text/plain", "size": 5}
    for number in range(8 * workers):
        async with httpx.AsyncClient(
            base_url=f"{target.base_url}/api/v1", trust_env=False, timeout=30
        ) as client:
            new_key = {"name": f"k{number}", "scopes": ["auth:me"]}
            key = await client.post("/keys", json=new_key, headers=credential)
            await client.get("/auth/me", headers={"X-API-Key": key.json()["secret"]})
            await client.post("/documents", json=announced, headers=credential)
            await client.get("/documents", headers=credential)
            await client.post("/query", json={"query": "What is there?"}, headers=credential)


async def while_logging_in(target: Target) -> Mapping[str, float]:
    """The highest memory that was seen during logins at every worker."""
    logins = asyncio.gather(*(target.log_in() for _ in range(LOGINS)))
    seen = [memory(target.pid)]
    while not logins.done():
        seen.append(await asyncio.to_thread(memory, target.pid))
        await asyncio.sleep(0.005)
    return max(seen, key=lambda found: found["all"])
