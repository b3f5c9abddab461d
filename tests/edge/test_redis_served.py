"""Redis as an operator meets it: in readiness, in ``gateway check --connect``, in what is loaded.

The gateway is served on a real socket, over a real Redis.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devstack.components import Running, free_port
from gateway.commands import check, cli
from gateway.domain.when_away import WHEN_AWAY
from gateway.settings import Settings
from tests.components import running_redis

from .conftest import ENVIRONMENT, Gateway, running_gateway
from .raw import exchange, request
from .stub_core import StubCore

PATIENT_S = 60.0


def url(redis: Running) -> str:
    return f"redis://{redis.launch.address}"


async def ready(gateway: Gateway) -> dict[str, Any]:
    answer = await exchange(gateway.address, request("GET", "/readyz"))
    assert answer.status == 200
    return dict(answer.json())


async def until(gateway: Gateway, state: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENT_S):
        while True:
            found = await ready(gateway)
            if found["dependencies"]["state"] == state:
                return found
            await asyncio.sleep(0.05)


async def test_a_redis_that_goes_and_comes_is_seen_in_readiness(
    core: StubCore, tmp_path: Path
) -> None:
    """The gateway stays ready and serves; the status is ``degraded``, and well again by itself."""
    admin = ("127.0.0.1", free_port())
    async with (
        running_redis(tmp_path) as redis,
        running_gateway(core, REDIS_URL=url(redis), ADMIN_LISTEN_PORT=str(admin[1])) as gateway,
    ):
        assert (await until(gateway, "ok"))["status"] == "ok"
        await redis.child.stop()
        assert (await until(gateway, "down"))["status"] == "degraded"
        response = await gateway.client.get("/api/v1/auth/me", headers=await gateway.bearer())
        assert response.status_code == 200
        told = (await exchange(admin, request("GET", "/readyz"))).json()
        reason = told["dependencies"]["state"]["reason"]
        assert all(word in reason for word in (*WHEN_AWAY, *WHEN_AWAY.values()))
        await redis.start_again()
        assert (await until(gateway, "ok"))["status"] == "ok"


async def test_a_gateway_without_redis_names_none(gateway: Gateway) -> None:
    """What cannot be down is in no list of what is."""
    assert "state" not in (await ready(gateway))["dependencies"]


# --- gateway check --------------------------------------------------------------------------------


async def test_check_asks_redis_and_says_its_version(tmp_path: Path) -> None:
    """One that may forget what was counted is refused, and the words say what to set."""
    settings = {**ENVIRONMENT, "GATEWAY_SERVICES_CORE": "http://127.0.0.1:9"}
    async with running_redis(tmp_path) as redis:
        good = await checked({**settings, "GATEWAY_REDIS_URL": url(redis)})
        assert " ok, " in good
        assert ", redis " in good
    async with running_redis(tmp_path, {"maxmemory-policy": "allkeys-lru"}) as redis:
        assert "must be noeviction" in await checked({**settings, "GATEWAY_REDIS_URL": url(redis)})


async def test_check_says_why_redis_does_not_answer_and_no_secret(tmp_path: Path) -> None:
    """A wrong password is refused by Redis; it stands nowhere in what is printed."""
    settings = {**ENVIRONMENT, "GATEWAY_SERVICES_CORE": "http://127.0.0.1:9"}
    async with running_redis(tmp_path, {"requirepass": "right-and-secret"}) as redis:
        wrong = {
            **settings,
            "GATEWAY_REDIS_URL": url(redis),
            "GATEWAY_REDIS_PASSWORD": "a-wrong-one",
        }
        said = await checked(wrong)
        assert "FAILED" in said
        assert "password" in said.lower()
        assert "a-wrong-one" not in said


async def checked(environ: dict[str, str]) -> str:
    """The line about Redis that ``gateway check --connect`` prints."""
    probes = await check.connect(Settings.load(environ))
    return next(str(probe) for probe in probes if probe.name == "state")


def test_what_check_prints_has_no_secret_of_redis(capsys: pytest.CaptureFixture[str]) -> None:
    """The URL may hold a password: of it, too, only whether it is set."""
    environ = {
        **ENVIRONMENT,
        "GATEWAY_SERVICES_CORE": "http://127.0.0.1:9",
        "GATEWAY_REDIS_URL": "redis+sentinel://ada:hidden-one@a,b/main",
        "GATEWAY_REDIS_SENTINEL_PASSWORD": "hidden-two",
    }
    cli.main(["check"], environ)
    said = "".join(capsys.readouterr())
    assert "GATEWAY_REDIS_URL" in said
    assert "hidden" not in said


# --- Imports --------------------------------------------------------------------------------------

IMPORTS = """
import json, os, sys, threading
from gateway.settings import Settings
from gateway.wiring.services import import_for
import_for(Settings.load(json.loads(sys.argv[1])))
redis = sorted(name for name in sys.modules if name.partition(".")[0] in ("redis", "hiredis"))
ours = sorted(name for name in sys.modules if name.startswith("gateway.adapters.redis"))
files = (f"/proc/self/fd/{fd}" for fd in range(64))
sockets = [file for file in files if os.path.islink(file) and "socket" in os.readlink(file)]
print(json.dumps([redis, ours, threading.active_count(), sockets]))
"""


def imported(**more: str) -> list[Any]:
    """What a supervisor has loaded before it forks: Redis's modules, ours, threads, sockets."""
    environ = {**ENVIRONMENT, "GATEWAY_SERVICES_CORE": "http://127.0.0.1:9", **more}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, json.dumps(environ)],
        capture_output=True,
        text=True,
        timeout=PATIENT_S,
        check=True,
    )
    return list(json.loads(done.stdout))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for sockets in /proc")
def test_nothing_of_redis_is_imported_where_it_is_not_set() -> None:
    """Where it is set it is imported before the fork, once for all workers; nothing connects."""
    redis, ours, _, _ = imported()
    assert (redis, ours) == ([], [])
    redis, ours, threads, sockets = imported(GATEWAY_REDIS_URL="redis://127.0.0.1:1")
    assert "redis.asyncio.connection" in redis
    assert "gateway.adapters.redis_state" in ours
    assert (threads, sockets) == (1, [])
