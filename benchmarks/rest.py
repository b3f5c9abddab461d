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
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks import proc
from benchmarks.figures import Row
from devstack.environment import ADMIN
from devstack.stack import Stack

KIB_PER_MIB = 1024
SETTLE_S = 3.0
LOGINS = 24
_IMPORTS = "import time; import gateway.app; print(time.process_time())"


@dataclass(frozen=True, slots=True)
class Asked:
    """A gateway: its first process, its address, and who may log in."""

    pid: int
    base_url: str
    password: str

    async def log_in(self) -> str:
        async with httpx.AsyncClient(base_url=self.base_url, trust_env=False, timeout=60) as client:
            said = {"username": ADMIN, "password": self.password}
            answer = await client.post("/auth/login", json=said)
            return str(answer.json()["access_token"]) if answer.is_success else ""


async def measure(*, workers: int, opa_server: bool, seconds: float, rounds: int) -> list[Row]:
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
            pid = stack.child("gateway").pid
            assert pid is not None
            asked = Asked(pid, stack.base_url, stack.secrets.admin_password)
            rows.append(await one_round(asked, number, workers, seconds))
        return rows


async def one_round(asked: Asked, number: int, workers: int, seconds: float) -> Row:
    await use_everything(asked, workers)
    await asyncio.sleep(SETTLE_S)
    idle = await idle_millicores(asked, seconds)
    rest = memory(asked.pid)
    peak = await while_logging_in(asked)
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


async def idle_millicores(asked: Asked, seconds: float) -> float:
    cpu_s, began = proc.cpu_s(asked.pid), time.monotonic()
    await asyncio.sleep(seconds)
    return (proc.cpu_s(asked.pid) - cpu_s) / (time.monotonic() - began) * 1000


def import_cpu_s() -> float:
    """CPU seconds of a fresh interpreter that imports the application; the least of three."""
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


async def use_everything(asked: Asked, workers: int) -> None:
    """Enough, each time on a connection of its own, for every worker to get its share."""
    credential = {"Authorization": f"Bearer {await asked.log_in()}"}
    announced = {"filename": "a.txt", "content_type": "text/plain", "size": 5}
    for number in range(8 * workers):
        async with httpx.AsyncClient(
            base_url=f"{asked.base_url}/api/v1", trust_env=False, timeout=30
        ) as client:
            new_key = {"name": f"k{number}", "scopes": ["auth:me"]}
            key = await client.post("/keys", json=new_key, headers=credential)
            await client.get("/auth/me", headers={"X-API-Key": key.json()["secret"]})
            await client.post("/documents", json=announced, headers=credential)
            await client.get("/documents", headers=credential)
            await client.post("/query", json={"query": "What is there?"}, headers=credential)


async def while_logging_in(asked: Asked) -> Mapping[str, float]:
    """The most that was seen while logins were under way at every worker."""
    logins = asyncio.gather(*(asked.log_in() for _ in range(LOGINS)))
    seen = [memory(asked.pid)]
    while not logins.done():
        seen.append(await asyncio.to_thread(memory, asked.pid))
        await asyncio.sleep(0.005)
    return max(seen, key=lambda found: found["all"])
