"""The demo's question, answered through a container of the image within a pod's limits.

The rest of the line (OPA, S3, Temporal, the core and its worker) runs beside it on loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from devstack.components import Missing, free_port
from devstack.demo.answer import Answer
from devstack.demo.client import Client
from devstack.environment import ADMIN
from devstack.sample import QUESTION, SAMPLE
from devstack.stack import Stack

from .conftest import CHECKOUT, Built
from .engine import Engine

pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("image"),
]

WORKERS = 2
# Not a speed that is asserted: when the test gives up. The startup probe's patience is asserted.
START_LIMIT_S = 120
POLL_S = 0.25
MIB = 1024 * 1024


def pod() -> dict[str, Any]:
    """The pod's part of the Deployment."""
    text = (CHECKOUT / "k8s" / "base" / "deployment.yaml").read_text("utf-8")
    spec: dict[str, Any] = yaml.safe_load(text)["spec"]["template"]["spec"]
    return spec


@dataclass(frozen=True)
class Served:
    """A container that serves."""

    engine: Engine
    name: str
    base_url: str
    started_after_s: float

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.engine.inspect(self.name)["State"]
        return state


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(built: Built) -> AsyncIterator[Stack]:
    running = Stack(
        choices={"opa": "real", "s3": "real"}, parts=("opa", "s3", "temporal", "core", "worker")
    )
    try:
        await running.__aenter__()
    except Missing as problem:
        if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
            pytest.fail(str(problem))
        pytest.skip(str(problem))
    try:
        yield running
    finally:
        await running.__aexit__(None, None, None)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(built: Built, stack: Stack) -> AsyncIterator[Served]:
    """The image's own command with two workers, the memory and the CPU that a pod is given."""
    port = free_port()
    name = f"kbg-test-{uuid.uuid4().hex[:12]}"
    env = stack.env_for_gateway(port, free_port())
    env |= {"GATEWAY_SERVER_WORKERS": str(WORKERS), "GATEWAY_LOG_FORMAT": "json"}
    limits = pod()["containers"][0]["resources"]["limits"]
    memory, cpus = f"{mebibytes(limits['memory'])}m", str(cores(limits["cpu"]))
    flags = ("--memory", memory, "--memory-swap", memory, "--cpus", cpus)
    built.engine.start(name, built.name, env, *flags)
    try:
        base_url = f"http://127.0.0.1:{port}"
        took_s = await until_ready(built.engine, name, base_url)
        yield Served(built.engine, name, base_url, took_s)
    finally:
        built.engine.call("rm", "--force", name, check=False)


async def until_ready(engine: Engine, name: str, base_url: str) -> float:
    """Seconds until ``/readyz`` said 200 the first time; fails with the log when it never does."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with httpx.AsyncClient(trust_env=False) as http:
        while loop.time() - began < START_LIMIT_S:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(f"{base_url}/readyz")).status_code == 200:
                    return loop.time() - began
            await asyncio.sleep(POLL_S)
    logs = engine.call("logs", name, check=False)
    raise AssertionError(f"not ready in {START_LIMIT_S} s:\n{logs.stdout}{logs.stderr}")


def mebibytes(quantity: str) -> int:
    assert quantity.endswith("Mi")
    return int(quantity.removesuffix("Mi"))


def cores(quantity: str) -> float:
    """``200m`` is 0.2."""
    if quantity.endswith("m"):
        return int(quantity.removesuffix("m")) / 1000
    return float(quantity)


def pss_bytes(engine: Engine, name: str) -> dict[int, int]:
    """Proportional set size of each process of the container, as the kernel says."""
    first = int(engine.inspect(name)["State"]["Pid"])
    found = {}
    for pid in [first, *descendants(first)]:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        line = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
        found[pid] = int(line.split()[1]) * 1024
    return found


def descendants(pid: int) -> Iterator[int]:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            yield int(child)
            yield from descendants(int(child))


async def test_the_demo_is_answered_through_it(stack: Stack, served: Served) -> None:
    """Log in, upload, index, ask: the answer streams, and cites the sample."""
    client = Client(served.base_url)
    try:
        await client.log_in(ADMIN, stack.secrets.admin_password)
        upload = await client.announce(SAMPLE)
        parts = await client.send(upload, lambda _count: None)
        await client.complete(upload, parts)
        await client.until_indexed(upload, lambda _state: None)
        answer = Answer()
        async for event in client.ask(QUESTION):
            answer.take(event)
    finally:
        await client.aclose()
    assert answer.finish_reason is not None
    assert "eight books" in answer.text
    assert str(answer.citations()[0]).startswith("[1] tidewater-library-handbook.md: ")


async def test_it_has_no_rights_and_nowhere_to_write(served: Served) -> None:
    """As the kernel says of the first process: no capability, none to be had; a read-only root."""
    status = served.engine.python(served.name, "print(open('/proc/1/status').read())").stdout
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == ["65532"] * 4
    assert facts["Gid"].split() == ["65532"] * 4
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    for place in ("/x", "/tmp/x", "/gateway/x", "/var/tmp/x"):
        tried = served.engine.python(served.name, f"open({place!r}, 'w')")
        assert tried.returncode == 1
        assert "Read-only file system" in tried.stderr


async def test_its_health_check_asks_the_gateway(served: Served) -> None:
    """The check runs inside, with no shell, and follows the settings of the container."""
    code = "import sys, os, gateway.commands.health as p; sys.exit(p.main(['--ready'], os.environ))"
    assert served.engine.python(served.name, code).stdout == "/readyz: 200\n"
    if served.engine.program.endswith("podman"):
        assert served.engine.call("healthcheck", "run", served.name).returncode == 0
        return
    async with asyncio.timeout(START_LIMIT_S):
        while served.state()["Health"]["Status"] == "starting":  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
    assert served.state()["Health"]["Status"] == "healthy"


async def test_it_fits_a_pod(served: Served) -> None:
    """Two workers after a login and a question: within the memory that a pod asks for.

    It was started and has answered within the limits, which the engine enforces.
    """
    asked = pod()["containers"][0]["resources"]["requests"]
    whole = sum(pss_bytes(served.engine, served.name).values())
    assert whole <= mebibytes(asked["memory"]) * MIB


async def test_it_starts_within_the_patience_of_the_startup_probe(served: Served) -> None:
    """With a pod's share of a CPU."""
    probe = pod()["containers"][0]["startupProbe"]
    assert served.started_after_s < probe["periodSeconds"] * probe["failureThreshold"]


async def test_it_reloads_when_asked_from_inside(served: Served) -> None:
    """There is no `kill` in it; Python sends the signal, and the same processes serve on."""
    before = pss_bytes(served.engine, served.name).keys()
    asked = served.engine.python(served.name, "import os, signal; os.kill(1, signal.SIGHUP)")
    assert asked.returncode == 0, asked.stderr
    async with asyncio.timeout(START_LIMIT_S):
        while '"reloading"' not in written(served):  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{served.base_url}/readyz")).status_code == 200
    # For a moment there is one more, which compiles the policy.
    async with asyncio.timeout(START_LIMIT_S):
        while (now := pss_bytes(served.engine, served.name).keys()) != before:
            assert now > before
            await asyncio.sleep(POLL_S)


def written(served: Served) -> str:
    logs = served.engine.call("logs", served.name)
    return logs.stdout + logs.stderr


async def test_sigterm_ends_it_with_0(served: Served) -> None:
    """As PID 1, within the time that a pod is given. The last test: nothing serves after it."""
    limit_s = pod()["terminationGracePeriodSeconds"]
    served.engine.call("stop", "-t", str(limit_s), served.name, limit_s=limit_s + 30)
    log = written(served)
    assert served.state()["ExitCode"] == 0, log
    assert [line for line in log.splitlines() if line.strip() and not is_json(line)] == []


def is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
