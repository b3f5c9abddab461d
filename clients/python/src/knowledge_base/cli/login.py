"""``kb login``, ``logout``, ``whoami`` and ``doctor``."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from knowledge_base import KnowledgeBase, errors
from knowledge_base._requests import Reply, Request
from knowledge_base._sync import run
from knowledge_base.cli import account, exits
from knowledge_base.cli.account import Account
from knowledge_base.cli.exits import USAGE, Said, words_of
from knowledge_base.cli.output import as_json, facts, is_terminal, say

# Tokens have a first and a last second; clocks that differ by more than this make trouble.
_CLOCKS_S = 30.0


def login(options: argparse.Namespace) -> int:
    known = account.account(options) if _is_known(options) else None
    url = options.address or (known.url if known else None) or _asked("Address (https://…): ")
    if options.api_key_stdin:
        found = _with_key(url)
    else:
        name = options.username or (known and known.username) or _asked("User: ")
        found = _with_password(url, name, _password(options))
    where = account.keep(found)
    say(f"Logged in to {found.url} as {found.username}. The token is in {where}.")
    return exits.OK


def _is_known(options: argparse.Namespace) -> bool:
    """Whether some address is."""
    try:
        account.account(options)
    except Said:
        return False
    return True


def _with_key(url: str) -> Account:
    secret = sys.stdin.readline().strip()
    with account.connect(url, secret) as kb:
        try:
            name: str | None = kb.me().subject
        except errors.Forbidden:
            name = None  # a key may well not be for that; it is one all the same
    return Account(url, secret, name)


def _with_password(url: str, name: str, password: str) -> Account:
    with account.connect(url, None) as kb:
        token = kb.login(name, password)
    return Account(url, token.access_token, name)


def _asked(text: str) -> str:
    if not is_terminal(sys.stdin):
        raise Said(f"Nobody can be asked for the {text.split(' ')[0].lower().rstrip(':')}.", USAGE)
    sys.stderr.write(text)
    sys.stderr.flush()
    found = sys.stdin.readline().strip()
    if not found:
        raise Said("Nothing was given.", USAGE)
    return found


def _password(options: argparse.Namespace) -> str:
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not is_terminal(sys.stdin):
        raise Said("Nobody can be asked for the password: say --password-stdin.", USAGE)
    try:
        return getpass.getpass("Password: ")
    except EOFError:
        raise Said("Nothing was given.", USAGE) from None


def logout(options: argparse.Namespace) -> int:
    """Here it is forgotten in any case."""
    found = account.account(options)
    try:
        if found.secret is not None and not found.secret.startswith("kbg_"):
            with account.connect(found.url, found.secret) as kb:
                kb.logout(all_tokens=options.all)
    except errors.Unauthenticated:
        pass  # it had ended already
    finally:
        account.forget()
    return exits.OK


def whoami(options: argparse.Namespace) -> int:
    with account.client(options) as kb:
        found = kb.me()
    if options.json:
        print(as_json(found))
    else:
        facts(asdict(found).items())
    return exits.OK


# --- doctor ---------------------------------------------------------------------------------------


def doctor(options: argparse.Namespace) -> int:
    """Looks at one thing after the other, and says what to do about the first that is wrong."""
    found = account.account(options)
    print(f"knowledge base  {found.url}")
    with account.connect(found.url, found.secret) as kb:
        try:
            for name, said in _looked_at(kb, found):
                print(f"{name:<15} {said}", flush=True)
        except (errors.KnowledgeBaseError, Said) as exc:
            print(f"{'wrong':<15} {words_of(exc)}")
            return exits.code_of(exc)
    return exits.OK


def _looked_at(kb: KnowledgeBase, found: Account) -> Iterator[tuple[str, str]]:
    answer = _plain(kb, "/healthz")
    yield "reached", "it answers"
    yield "clock", _clock(answer)
    yield "ready", _ready(kb)
    if found.secret is None:
        raise Said("You are not logged in: kb login", exits.NOT_ALLOWED)
    yield "logged in", _who(kb)
    yield "documents", _allowed(lambda: f"{len(kb.documents.page(limit=1).documents)} or more seen")
    yield "usage", _allowed(lambda: "known" if kb.usage().counted else "not counted here")


def _plain(kb: KnowledgeBase, path: str) -> Reply:
    return run(kb._core.call(Request("GET", path, repeat="always", is_public=True)))


def _clock(answer: Reply) -> str:
    try:
        at = parsedate_to_datetime(answer.headers.get("date", ""))
    except (ValueError, OverflowError):
        return "the server does not tell its own"
    apart_s = abs((datetime.now(UTC) - at.replace(tzinfo=at.tzinfo or UTC)).total_seconds())
    if apart_s > _CLOCKS_S:
        raise Said(f"This clock and the server's are {apart_s:.0f} s apart: set yours right.")
    return "agrees with the server's"


def _ready(kb: KnowledgeBase) -> str:
    # One that takes no requests says why, with a 503 that is no error to be tried again.
    answer = run(kb._core.store(Request("GET", "/readyz")))
    try:
        found = answer.json()
        status, states = str(found["status"]), dict(found["dependencies"])
    except (KeyError, TypeError, ValueError, errors.ProtocolError):
        raise Said("What answers there is no knowledge base: look at the address.") from None
    away = [f"{name} is {state}" for name, state in states.items() if state != "ok"]
    if not answer.is_success:
        raise Said(", ".join((f"It takes no requests now: {status}", *away)), exits.LATER)
    return ", ".join(away) or "all that it needs is there"


def _who(kb: KnowledgeBase) -> str:
    try:
        me = kb.me()
    except errors.Forbidden:
        return "with a key that may not ask who it is"
    until = f", until {me.expires_at:%Y-%m-%d %H:%M} UTC" if me.expires_at else ""
    return f"as {me.subject} of {me.tenant} ({', '.join(me.roles)}){until}"


def _allowed(look: Callable[[], str]) -> str:
    try:
        return look()
    except errors.Forbidden:
        return "not allowed to look"
