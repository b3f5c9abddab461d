"""``kb`` in this process, before the server in memory, with nobody logged in."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from knowledge_base import KnowledgeBase, Retries
from knowledge_base.cli import account

from .fake_server import FakeServer

URL = "http://kb.test"


@pytest.fixture(autouse=True)
def kb(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is logged in, and the server is the one in memory."""
    for name in ("KB_URL", "KB_API_KEY", "KB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setitem(sys.modules, "keyring", None)

    def connect(url: str, secret: str | None) -> KnowledgeBase:
        transport = httpx.MockTransport(server)
        return KnowledgeBase(url, token=secret, transport=transport, retries=Retries(times=0))

    monkeypatch.setattr(account, "connect", connect)


@pytest.fixture
def logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KB_URL", URL)
    monkeypatch.setenv("KB_TOKEN", "a-token")


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What stdin has, which is no terminal."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


Reads = Callable[[], tuple[str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Reads:
    def read() -> tuple[str, str]:
        found = capsys.readouterr()
        return found.out, found.err

    return read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "papers"
    (found / "deep").mkdir(parents=True)
    for name, text in (("a.txt", "one"), ("b.MD", "two"), ("deep/c.pdf", "three" * 20)):
        (found / name).write_text(text, "utf-8")
    (found / "d.exe").write_text("not taken", "utf-8")
    (found / ".e.txt").write_text("hidden", "utf-8")
    return found
