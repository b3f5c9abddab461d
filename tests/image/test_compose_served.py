"""``compose.yaml`` started for real: the demo's question, asked of its containers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.settings.env_file import read_env_file

from .compose_project import CHECKOUT, SECRETS, services
from .compose_runner import PROGRAMS, Composed, build_stand_in, composed, python_in
from .conftest import Built

pytestmark = [pytest.mark.timeout(1500), pytest.mark.xdist_group("image")]

CORE_IMAGE = "localhost/knowledge-base-core:test"
# What a person does, by the public API, inside the containers' network: that of the core's image is
# the one that has a client.
ASK = """
import asyncio, json, sys
from devstack.demo.answer import Answer
from devstack.demo.client import Client
from devstack.sample import QUESTION, SAMPLE

async def ask():
    client = Client("http://127.0.0.1:8080")
    await client.log_in(sys.argv[1], sys.argv[2])
    upload = await client.announce(SAMPLE)
    await client.complete(upload, await client.send(upload, lambda count: None))
    await client.until_indexed(upload, lambda state: None)
    answer = Answer()
    async for event in client.ask(QUESTION):
        answer.take(event)
    await client.aclose()
    print(json.dumps([answer.finish_reason, answer.text, *map(str, answer.citations())]))

asyncio.run(ask())
"""
# What a browser does first: the page, and whether the store admits a page of this origin.
LOOK = """
import json, urllib.request as u
page = u.urlopen("http://127.0.0.1:8080/console")
asked = {"Origin": "http://127.0.0.1:8080", "Access-Control-Request-Method": "POST"}
admitted = u.urlopen(u.Request("http://127.0.0.1:7070/documents", None, asked, method="OPTIONS"))
print(json.dumps([page.headers["Content-Type"], admitted.headers["Access-Control-Allow-Origin"]]))
"""


@pytest.fixture(scope="module")
def running(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    engine, base = built.engine, built.arguments["BASE_IMAGE"]
    folder = tmp_path_factory.mktemp("compose")
    images = {one: build_stand_in(engine, base, one, folder / one) for one in PROGRAMS}
    recipe = Path(services()["core"]["build"]["dockerfile"])
    engine.build(CORE_IMAGE, CHECKOUT, {"BASE_IMAGE": base}, "-f", CHECKOUT / recipe)
    images |= {"knowledge-base-gateway": built.name, "knowledge-base-core": CORE_IMAGE}
    with composed(engine, base, images, folder) as started:
        started.up()
        yield started


def test_the_image_itself_writes_the_secrets(built: Built, tmp_path: Path) -> None:
    """Where there is an engine and no Python: as the page says it."""
    me = f"{os.getuid()}:{os.getgid()}"
    flags = ("--rm", "--user", me, "--volume", f"{tmp_path}:/here", "--workdir", "/here")
    done = built.engine.call("run", *flags, *built.engine.run_flags, built.name, "init")
    assert "docker compose up" in done.stdout
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert read_env_file(tmp_path / ".env")[0].keys() == SECRETS.keys()


def test_a_question_is_answered_out_of_an_upload(running: Composed) -> None:
    """Every part does its work as nobody, on a file system that it cannot write to."""
    who = SECRETS["GATEWAY_ADMIN_USERNAME"], SECRETS["GATEWAY_ADMIN_PASSWORD"]
    reason, text, *cited = python_in(running, "core", ASK, *who)
    assert reason is not None
    assert "eight books" in text
    assert cited[0].startswith("[1] tidewater-library-handbook.md: ")


def test_the_console_is_there_and_may_upload(running: Composed) -> None:
    """As a browser of this machine finds it."""
    kind, origin = python_in(running, "core", LOOK)
    assert kind.startswith("text/html")
    assert origin == "http://127.0.0.1:8080"


def test_each_dependency_answers(running: Composed) -> None:
    """OPA, Redis and Temporal among them: by the gateway's own command, from inside."""
    done = running.run_in("gateway", "gateway", "check", "--connect")
    told = done.stdout.partition("\nDependencies\n")[2]
    assert done.returncode == 0, done.stdout
    assert {"core", "policy", "storage", "keys", "temporal"} <= {
        line.split()[0] for line in told.splitlines()
    }


@pytest.mark.parametrize("name", ["volumes", "setup", "account"])
def test_what_runs_once_may_run_again(running: Composed, name: str) -> None:
    """Compose runs it at each start: over what is there it changes nothing, and ends with 0."""
    running.start(name)


def test_it_ends_in_order(running: Composed) -> None:
    """The last test: within its time, with 0."""
    limit_s = services()["gateway"]["stop_grace_period"].removesuffix("s")
    running.engine.call("stop", "-t", limit_s, running.name("gateway"), limit_s=90)
    assert running.engine.inspect(running.name("gateway"))["State"]["ExitCode"] == 0
