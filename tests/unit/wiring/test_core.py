"""The core as a worker builds it: the certificates it checks, and that nothing outlives it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from gateway.edge.tasks import Tasks
from gateway.http_client.discovery import Service
from gateway.tls.certificates import TlsFiles
from gateway.tls.outgoing import OutgoingTls
from gateway.wiring import dependencies
from gateway.wiring.dependencies import CORE
from gateway.wiring.dependency import Building

from ..valid_settings import REQUIRED, load


class Noting(OutgoingTls):
    """Remembers for whom certificates were read."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: list[str] = []

    def context(self, peer: str, files: TlsFiles) -> Callable[[], ssl.SSLContext]:
        self.peers.append(peer)
        return super().context(peer, files)


def building(closing: AsyncExitStack, cores: str) -> tuple[Building, Noting]:
    tls = Noting()
    return Building(load(GATEWAY_SERVICES_CORE=cores), tls, Tasks(), closing), tls


@pytest.mark.parametrize(
    ("cores", "peers"),
    [
        ("http://127.0.0.1:9", []),
        ("https://127.0.0.1:9", ["core"]),
        ("http://127.0.0.1:9,https://127.0.0.1:10", ["core"]),
    ],
)
async def test_one_core_over_tls_is_enough_for_its_certificates(
    cores: str, peers: list[str]
) -> None:
    """Else that one would be checked against the system's, in place of the CA that was named."""
    async with AsyncExitStack() as closing:
        built, tls = building(closing, cores)
        await CORE.build(built)
        assert tls.peers == peers


class Endless:
    """A name server that knows one address, for a moment."""

    async def hosts(self, name: str) -> tuple[Sequence[str], float]:
        return ["127.0.0.1"], 0.0

    async def services(self, name: str) -> tuple[Sequence[Service], float]:
        raise NotImplementedError


async def test_the_search_for_cores_ends_with_their_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that drains its last streams must not ask the name server for ever."""

    def lookup(_settings: Any) -> Endless:
        return Endless()

    def searching() -> list[str]:
        return [t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith("discovery ")]

    monkeypatch.setattr(dependencies, "_lookup", lookup)
    async with AsyncExitStack() as closing:
        built, _ = building(closing, "dns+http://cores.test:9")
        await CORE.build(built)
        assert len(searching()) == 1
    assert searching() == []


IMPORTS = """
import json, sys
from gateway.settings import Settings
from gateway.wiring.services import import_for
import_for(Settings.load(json.loads(sys.argv[1])))
ours = ("gateway.adapters.limited_calls", "gateway.domain.adaptive_limit")
print(*(name in sys.modules for name in ours))
"""


@pytest.mark.parametrize(("on", "imported"), [("false", "False False"), ("true", "True True")])
def test_a_limit_that_is_off_is_not_imported(on: str, imported: str) -> None:
    """Where it is on, it is imported before the fork, once for all workers."""
    environ = {
        **REQUIRED,
        "GATEWAY_CORE_ADAPTIVE_LIMIT": on,
    }
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, json.dumps(environ)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == imported


GRPC_IMPORTS = """
import json, sys
from gateway.settings import Settings
from gateway.wiring.services import import_for
import gateway.app
import_for(Settings.load(json.loads(sys.argv[1])))
print(*(name in sys.modules for name in ("grpc", "google.rpc", "gateway.adapters.core_grpc")))
"""


@pytest.mark.parametrize(
    ("core", "imported"),
    [("http://core:8100", "False False False"), ("dns+grpc://core:8101", "True True True")],
)
def test_grpc_is_imported_where_the_core_is_asked_over_it(core: str, imported: str) -> None:
    """It is installed here, as every extra is; Temporal's SDK alone would import it, too."""
    assert importlib.util.find_spec("grpc") is not None
    environ = {**REQUIRED, "GATEWAY_SERVICES_CORE": core}
    done = subprocess.run(
        [sys.executable, "-c", GRPC_IMPORTS, json.dumps(environ)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == imported
