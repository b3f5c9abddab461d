"""What a user of the package sees of it."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import knowledge_base
from knowledge_base import (
    AsyncKnowledgeBase,
    KnowledgeBase,
    UploadState,
    async_client,
    client,
    errors,
)

from .both import Make
from .fake_server import FakeServer, told

PAIRS = [
    (client.KnowledgeBase, async_client.AsyncKnowledgeBase),
    (client.AnswerStream, async_client.AsyncAnswerStream),
    (client.Documents, async_client.AsyncDocuments),
    (client.Keys, async_client.AsyncKeys),
]
SPELLED = {"close": "aclose"}


def methods(kind: type) -> dict[str, tuple[list[str], str | None]]:
    """Each public method with its parameters and its words."""
    return {
        name: (list(inspect.signature(one).parameters), one.__doc__)
        for name, one in vars(kind).items()
        if callable(one) and not name.startswith("_")
    }


@pytest.mark.parametrize(("sync", "asynchronous"), PAIRS, ids=lambda kind: kind.__name__)
def test_both_clients_can_do_the_same(sync: type, asynchronous: type) -> None:
    """Under the same names, with the same arguments and the same words."""
    expected = {SPELLED.get(name, name): what for name, what in methods(sync).items()}
    assert methods(asynchronous) == expected
    assert methods(sync)


def test_all_that_is_named_is_there() -> None:
    """And the version is the distribution's."""
    assert all(hasattr(knowledge_base, name) for name in knowledge_base.__all__)
    try:
        version = importlib.metadata.version("knowledge-base-client")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed; tox installs the wheel")
    assert version == knowledge_base.__version__


def test_it_needs_httpx_and_nothing_else() -> None:
    """Beside the standard library, which knows no asyncio where nobody asks for it."""
    imported = set()
    for path in Path(str(knowledge_base.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"httpx", "knowledge_base"}


@pytest.mark.parametrize(
    "url", ["kb.example.com", "ftp://kb", "http://a:b@kb", "http://kb?x=1", "http://", "http://[::"]
)
@pytest.mark.parametrize("kind", [KnowledgeBase, AsyncKnowledgeBase])
def test_a_base_url_that_is_none_is_refused(url: str, kind: Any) -> None:
    """At once, by what it should be."""
    with pytest.raises(ValueError, match="URL"):
        kind(url, api_key="k")


async def test_a_base_url_may_have_a_path(client: Make, server: FakeServer) -> None:
    """Where a proxy serves several things; an id is one step of the path whatever it holds."""
    server.usual = lambda request: told(404, {})
    asking = client()
    asking.of._core.io._client.base_url = "https://kb.test/below/"
    with pytest.raises(errors.ApiError):
        await asking.call("documents.get", "../keys?x#y")
    assert server.requests[0].url.raw_path == b"/below/api/v1/documents/..%2Fkeys%3Fx%23y"


@pytest.mark.parametrize("body", ["[]", "null", "{}", '{"subject": 5}', "<html>", "", "[" * 99_999])
async def test_nonsense_is_no_answer(body: str, client: Make, server: FakeServer) -> None:
    """A page of a hotel's network, for example."""
    server.usual = lambda request: httpx.Response(200, text=body)
    with pytest.raises(errors.ProtocolError):
        await client().call("me")


async def test_a_refusal_in_no_shape_has_its_status(client: Make, server: FakeServer) -> None:
    """A proxy between has no code of ours."""
    server.usual = lambda request: httpx.Response(413, text="<html>", headers={"X-Request-ID": "r"})
    with pytest.raises(errors.ApiError) as found:
        await client().call("me")
    assert (found.value.code, found.value.status, found.value.request_id) == ("HTTP_413", 413, "r")


def test_no_secret_is_shown() -> None:
    """Neither a password, nor a token, nor a new key, in what is printed of them."""
    with KnowledgeBase("http://kb", username="alice", password="pass-word") as kb:
        kb._core.session.credential = "a-token"
        assert not re.search("pass-word|a-token", repr(vars(kb)) + repr(kb._core.session))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.api_error("NOT_FOUND", "There is none.", status=404), "NOT_FOUND: There is none."),
        (errors.StoreRefused(403, "AccessDenied"), "The object store refused: 403 AccessDenied"),
        (errors.UploadInterrupted(UploadState("d", 9, "s", 5, {1: "e"})), "1 of 2 parts were sent"),
    ],
    ids=["api", "store", "upload"],
)
def test_an_error_can_be_told_to_another_process(error: Exception, text: str) -> None:
    """Pools of processes pickle what was raised."""
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert vars(found) == vars(error)
    assert text in str(found)
