"""``kb docs``, ``kb keys`` and ``kb usage``: what there is, and what is taken away."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from knowledge_base import Document, Key
from knowledge_base.cli import account, exits
from knowledge_base.cli.exits import USAGE, Said
from knowledge_base.cli.output import as_json, facts, is_terminal, rows, say, size


def json_lines(values: Iterable[Any]) -> int:
    for value in values:
        print(as_json(value), flush=True)
    return exits.OK


# --- documents ------------------------------------------------------------------------------------


def list_documents(options: argparse.Namespace) -> int:
    with account.client(options) as kb:
        found: Iterator[Document] = kb.documents.list(owner=options.owner)
        if options.limit is not None:
            found = islice(found, options.limit)
        if options.json:
            return json_lines(found)
        at_terminal = is_terminal(sys.stdout)
        rows(
            ("ID", "STATUS", "SIZE", "CREATED", "NAME"),
            (
                (
                    one.document_id,
                    _status(one) if at_terminal else one.status,
                    size(one.size) if at_terminal else one.size,
                    one.created_at if at_terminal else one.created_at.isoformat(),
                    one.filename,
                )
                for one in found
            ),
        )
    return exits.OK


def _status(document: Document) -> str:
    if document.status != "processing" or document.stage is None:
        return document.status
    return f"processing: {document.stage}"


def show_document(options: argparse.Namespace) -> int:
    with account.client(options) as kb:
        for document_id in options.id:
            found = kb.documents.get(document_id, owner=options.owner)
            if options.json:
                json_lines([found])
                continue
            facts(asdict(found).items())
    return exits.OK


def open_document(options: argparse.Namespace) -> int:
    with account.client(options) as kb:
        if options.to is not None:
            kb.documents.download(options.id, options.to, owner=options.owner)
            return exits.OK
        url = kb.documents.content_url(options.id, owner=options.owner)
    # Who has the address has the file: it is told to a program that asks, and else to the browser.
    if options.url_only or not is_terminal(sys.stdout) or not webbrowser.open(url):
        print(url)
    return exits.OK


def remove_documents(options: argparse.Namespace) -> int:
    if not options.yes:
        _confirm(f"Delete {len(options.id)} document{'s' if len(options.id) > 1 else ''} for good?")
    with account.client(options) as kb:
        for document_id in options.id:
            kb.documents.delete(document_id, owner=options.owner)
            print(document_id, flush=True)
    return exits.OK


def _confirm(text: str) -> None:
    if not is_terminal(sys.stdin):
        raise Said("Nobody can be asked here: say --yes.", USAGE)
    sys.stderr.write(f"{text} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Said("Nothing was deleted.")


# --- keys -----------------------------------------------------------------------------------------


def list_keys(options: argparse.Namespace) -> int:
    with account.client(options) as kb:
        found = kb.keys.list(owner=options.owner)
    if options.json:
        return json_lines(_without_secret(one) for one in found)
    rows(
        ("ID", "NAME", "SCOPES", "EXPIRES", "REVOKED"),
        ((one.key_id, one.name, one.scopes, one.expires_at, one.revoked_at) for one in found),
    )
    return exits.OK


def _without_secret(key: Key) -> dict[str, Any]:
    return {name: value for name, value in asdict(key).items() if name != "secret"}


def create_key(options: argparse.Namespace) -> int:
    with account.client(options) as kb:
        made = kb.keys.create(options.name, options.scope, expires_in=options.expires_in)
    return _tell_key(made, options)


def rotate_key(options: argparse.Namespace) -> int:
    with account.client(options) as kb:
        made = kb.keys.rotate(options.id, overlap=options.overlap)
    return _tell_key(made, options)


def _tell_key(key: Key, options: argparse.Namespace) -> int:
    """The secret alone on stdout, so that a script can take it."""
    if options.json:
        return json_lines([key])
    say(f"Key {key.key_id} ({key.name}). It is shown this once:")
    print(key.secret)
    return exits.OK


def revoke_key(options: argparse.Namespace) -> int:
    with account.client(options) as kb:
        for key_id in options.id:
            kb.keys.revoke(key_id, owner=options.owner)
    return exits.OK


# --- usage ----------------------------------------------------------------------------------------


def usage(options: argparse.Namespace) -> int:
    with account.client(options) as kb:
        found = kb.usage(owner=options.owner)
    if options.json:
        return json_lines([found])
    if found.counted:
        rows(
            ("PER", "PERIOD", "TOKENS", "PROMPTS", "ANSWERS", "ESTIMATED"),
            (
                (
                    *(one.per, one.period, one.total_tokens),
                    *(one.prompt_tokens, one.completion_tokens, one.estimated_tokens),
                )
                for one in found.tokens
            ),
        )
    rows(
        ("QUOTA OR LIMIT", "PER", "LEFT", "OF", "AGAIN"),
        [
            *((one.quota, one.per, one.left, one.limit, one.renews_at) for one in found.quotas),
            *((one.limit, one.per, one.left, one.allowed, "") for one in found.limits),
        ],
    )
    return exits.OK
