"""Which knowledge base, and who asks: the command line, the environment, or the last ``kb login``.

A token is kept in the system's keyring where the package ``keyring`` finds one, else in a file
that only its owner can read. A password is never kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowledge_base import KnowledgeBase
from knowledge_base.cli.exits import NOT_ALLOWED, USAGE, Said

_SERVICE = "knowledge-base"


@dataclass(frozen=True, slots=True)
class Account:
    """``secret`` is a token or an API key."""

    url: str
    secret: str | None
    username: str | None = None


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config"
    return Path(environ.get("KB_CONFIG_DIR") or Path(base) / "knowledge-base")


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """For what may be lost: how far uploads are."""
    home = Path(environ.get("HOME", "~")).expanduser()
    base = environ.get("XDG_STATE_HOME") or home / ".local" / "state"
    return Path(environ.get("KB_CONFIG_DIR") or Path(base) / "knowledge-base") / "uploads"


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and for its owner's eyes only, from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _login_file() -> Path:
    return config_dir() / "login.json"


def _kept() -> dict[str, Any]:
    try:
        found = json.loads(_login_file().read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as exc:
        raise Said(f"{_login_file()} is damaged: log in again (kb login).") from exc
    return found if isinstance(found, dict) else {}


def _keyring() -> Any:
    """The package, if it is there and has found a keyring that it can use."""
    try:
        import keyring
        from keyring.backends import fail
    except ImportError:
        return None
    return None if isinstance(keyring.get_keyring(), fail.Keyring) else keyring


def keep(account: Account) -> str:
    """Remembers it; where its secret is now, for people."""
    about: dict[str, Any] = {"url": account.url, "username": account.username}
    ring = _keyring()
    if ring is not None and account.secret is not None:
        with contextlib.suppress(Exception):  # whatever a desktop's keyring raises
            ring.set_password(_SERVICE, account.url, account.secret)
            write_private(_login_file(), json.dumps({**about, "keyring": True}))
            return "the keyring"
    write_private(_login_file(), json.dumps({**about, "secret": account.secret}))
    return str(_login_file())


def forget() -> None:
    kept, ring = _kept(), _keyring()
    if kept.get("keyring") and ring is not None:
        with contextlib.suppress(Exception):
            ring.delete_password(_SERVICE, kept["url"])
    _login_file().unlink(missing_ok=True)


def _kept_secret(kept: Mapping[str, Any]) -> str | None:
    if not kept.get("keyring"):
        return kept.get("secret")
    ring = _keyring()
    return None if ring is None else ring.get_password(_SERVICE, kept["url"])


def account(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Account:
    """Raises ``Said`` where it is not known which knowledge base."""
    kept = _kept()
    url = options.url or environ.get("KB_URL") or kept.get("url")
    if not url:
        raise Said("Which knowledge base? Log in (kb login https://…), or set KB_URL.", USAGE)
    given = environ.get("KB_API_KEY") or environ.get("KB_TOKEN")
    # What was kept belongs to the one that was logged in to, and is shown to no other.
    is_kept = str(kept.get("url")).rstrip("/") == url.rstrip("/")
    url = kept["url"] if is_kept else url
    secret = given or (_kept_secret(kept) if is_kept else None)
    return Account(url, secret, kept.get("username") if is_kept else None)


def connect(url: str, secret: str | None) -> KnowledgeBase:
    try:
        return KnowledgeBase(url, token=secret)
    except ValueError as exc:
        raise Said(str(exc), USAGE) from exc


def client(options: argparse.Namespace) -> KnowledgeBase:
    """Raises ``Said`` where nobody is logged in."""
    found = account(options)
    if found.secret is None:
        raise Said(f"You are not logged in to {found.url}: kb login", NOT_ALLOWED)
    return connect(found.url, found.secret)
