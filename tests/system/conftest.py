"""One stack for the system tests: real OPA, versitygw and Temporal, core, worker, two workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from devstack.components import Missing
from devstack.stack import Stack
from gateway.adapters.argon2_passwords import hash_password
from gateway.adapters.users_file import editing
from gateway.domain.identity import User
from tests.components import missing_components
from tests.edge.served import free_port

from .people import PASSWORD, Person

# name → (tenant, role)
ACCOUNTS = {
    "alice": ("acme", "editor"),
    "bob": ("acme", "editor"),
    "rita": ("acme", "reader"),
    "root": ("acme", "admin"),
    "carol": ("other", "editor"),
    "boss": ("other", "admin"),
} | {f"user-{n}": (f"tenant-{n % 3}", "editor") for n in range(20)}

GRPC_PORT = free_port()
SETTINGS = {
    "GATEWAY_GRPC_PORT": str(GRPC_PORT),
    "GATEWAY_UPLOAD_MULTIPART_THRESHOLD": "6MiB",
    "GATEWAY_UPLOAD_PART_SIZE": "5MiB",
    "GATEWAY_STREAM_FIRST_EVENT": "10s",
    # What a busy machine does to a clock is no subject of these tests.
    "GATEWAY_POLICY_BUDGET": "3s",
    "GATEWAY_IO_DEADLINE": "5s",
    "GATEWAY_CORE_TIMEOUT": "5s",
    "GATEWAY_LOG_FORMAT": "json",
}


def write_users(path: Path) -> None:
    hashed = hash_password(PASSWORD)
    with editing(str(path)) as users:
        for name, (tenant, role) in ACCOUNTS.items():
            users[name] = User(name, tenant, frozenset({role}), hashed)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    users_file = tmp_path_factory.mktemp("gateway") / "users.json"
    write_users(users_file)
    running = Stack(
        choices={"opa": "real", "s3": "real"},
        gateway_workers=2,
        gateway_settings={**SETTINGS, "GATEWAY_USERS_FILE": str(users_file)},
    )
    try:
        await running.__aenter__()
    except Missing as error:
        missing_components(error)
    try:
        yield running
    finally:
        await running.__aexit__(None, None, None)


class People:
    """Logged-in users, made when first asked for."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._known: dict[str, Person] = {}

    async def __call__(self, name: str) -> Person:
        if name not in self._known:
            tenant, _ = ACCOUNTS[name]
            self._known[name] = await Person(self._base_url, name, tenant).log_in()
        return self._known[name]

    async def aclose(self) -> None:
        for person in self._known.values():
            await person.aclose()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def people(stack: Stack) -> AsyncIterator[People]:
    found = People(stack.base_url)
    yield found
    await found.aclose()
