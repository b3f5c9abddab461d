"""What the console's tests share: one real stack, one Chromium, and a tab for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from devstack.components import Missing
from devstack.stack import Stack
from tests.components import missing_components

from .scripted_model import ScriptedModel
from .tabs import Tab, Tabs, running_browser, write_accounts

__all__ = ["Tab", "Tabs"]

SETTINGS = {
    "GATEWAY_UPLOAD_MULTIPART_THRESHOLD": "6MiB",
    "GATEWAY_UPLOAD_PART_SIZE": "5MiB",
    # What a busy machine does to a clock is no subject of these tests.
    "GATEWAY_POLICY_BUDGET": "3s",
    "GATEWAY_IO_DEADLINE": "5s",
    "GATEWAY_CORE_TIMEOUT": "5s",
    "GATEWAY_STREAM_FIRST_EVENT": "10s",
    "GATEWAY_LOG_FORMAT": "json",
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def language_model() -> AsyncIterator[ScriptedModel]:
    """Writes the answers: what no test has written quotes a source."""
    async with ScriptedModel.started() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(
    language_model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """Real OPA, versitygw and Temporal, the reference core, its worker, and a gateway."""
    users_file = tmp_path_factory.mktemp("console") / "users.json"
    write_accounts(users_file)
    running = Stack(
        choices={"opa": "real", "s3": "real"},
        gateway_settings={**SETTINGS, "GATEWAY_USERS_FILE": str(users_file)},
        core_settings={
            "CORE_OPENAI_BASE_URL": language_model.base_url,
            "CORE_OPENAI_MODEL": "scripted",
        },
    )
    try:
        await running.__aenter__()
    except Missing as error:
        missing_components(error)
    try:
        yield running
    finally:
        await running.__aexit__(None, None, None)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def model(language_model: ScriptedModel) -> AsyncIterator[ScriptedModel]:
    """Says what this test writes, and nothing of it behind its end."""
    yield language_model
    language_model.forget()


@pytest_asyncio.fixture(loop_scope="session")
async def tabs(stack: Stack, browser: Browser) -> AsyncIterator[Tabs]:
    """Opens tabs of users that no other test has."""
    async with AsyncExitStack() as closing:
        opened = Tabs(browser, stack.base_url, closing)
        yield opened
        assert opened.complaints() == []


@pytest_asyncio.fixture(loop_scope="session")
async def tab(tabs: Tabs) -> Tab:
    """A tab in which a fresh editor is signed in; ``tab.open("#/ask")`` shows a screen."""
    return await tabs()
