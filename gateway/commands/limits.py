"""``gateway limits show|reset``: what is counted for somebody, and forgetting it.

A running gateway is asked, at its admin listener, because only it reaches what it counts: the
memory that its workers share, and Redis where there is one. What counts by address is one
replica's.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from gateway.domain.operator_requests import sign
from gateway.settings import Settings

OK, FAULT, USAGE = 0, 1, 2
TIMEOUT_S = 5.0
# A listener on all addresses is asked on the loopback address.
_OWN_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_WHOM = {
    "subject": ("TENANT/NAME", "a user"),
    "key": ("ID", "an API key"),
    "tenant": ("TENANT", "all users of a tenant"),
    "account": ("NAME", "logins with this name, failed ones too"),
    "address": ("IP", "a client's address, as the asked replica counts it"),
}


class _Refused(Exception):
    """The gateway's answer, or the lack of one; its text is shown."""


def register(
    subparsers: Any,
    load: Callable[[argparse.Namespace], Settings],
    add_config: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Adds ``limits`` to the subparsers of ``gateway``; each handler returns the exit code."""
    limits = subparsers.add_parser("limits", help="show what limits count, or forget it")
    commands = limits.add_subparsers(dest="limits_command", required=True, metavar="COMMAND")
    show = "show the limits that are set, and what is left of them for somebody"
    _command(commands, "show", show, load, add_config)
    _command(commands, "reset", "forget what was counted for somebody", load, add_config)


def _command(
    commands: Any,
    name: str,
    summary: str,
    load: Callable[[argparse.Namespace], Settings],
    add_config: Callable[[argparse.ArgumentParser], None],
) -> None:
    parser = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:])
    for per, (metavar, what) in _WHOM.items():
        parser.add_argument(f"--{per}", metavar=metavar, help=what)
    parser.add_argument(
        "--at",
        metavar="HOST:PORT",
        help="the admin listener to ask (default: GATEWAY_ADMIN_LISTEN_HOST and _PORT)",
    )
    add_config(parser)
    parser.set_defaults(handler=lambda parsed: _run(name, parsed, load))


def _run(name: str, parsed: argparse.Namespace, load: Callable[..., Settings]) -> int:
    whom = [(per, text) for per in _WHOM if (text := getattr(parsed, per)) is not None]
    if name == "reset" and not whom:
        print("gateway limits reset: say for whom, such as --subject acme/ada", file=sys.stderr)
        return USAGE
    settings = load(parsed)
    if not whom:
        print("\n".join(str(limit) for limit in settings.limits) or "No limits are set.")
        return OK
    try:
        method = "GET" if name == "show" else "DELETE"
        rows = _ask(method, whom, settings, parsed.at)
    except (_Refused, OSError, http.client.HTTPException) as problem:
        print(f"gateway limits {name}: {problem}", file=sys.stderr)
        return FAULT
    print("\n".join(_table(rows)) or "No such limit is set.")
    if method == "DELETE" and rows:
        print("This was counted until now; it is forgotten.")
    return OK


def _ask(
    method: str, whom: Sequence[tuple[str, str]], settings: Settings, at: str | None
) -> list[dict[str, Any]]:
    target = f"/limits?{urlencode(whom)}"
    connection = http.client.HTTPConnection(*_listener(settings, at), timeout=TIMEOUT_S)
    try:
        signed = sign(settings.jwt_secret, method, target, time.time())
        connection.request(method, target, headers={"Authorization": signed})
        answer = connection.getresponse()
        body = json.loads(answer.read())
    except ValueError as problem:
        raise _Refused("what came is no answer of an admin listener") from problem
    finally:
        connection.close()
    if answer.status != 200:
        raise _Refused(body["error"]["message"])
    rows: list[dict[str, Any]] = body["limits"]
    return rows


def _listener(settings: Settings, at: str | None) -> tuple[str, int]:
    if at is not None:
        host, _, port = at.rpartition(":")
        if not host or not port.isdigit():
            raise _Refused("--at takes host:port")
        return host.strip("[]"), int(port)
    if not settings.admin_port:
        raise _Refused("the admin listener is off (GATEWAY_ADMIN_LISTEN_PORT is 0)")
    host = settings.admin_host
    return _OWN_ADDRESS.get(host, host), settings.admin_port


def _table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        wait = f", next in {row['retry_after_s']:g} s" if row["retry_after_s"] else ""
        left = "it is not known how many are" if row["left"] is None else row["left"]
        yield f"{row['limit']}  {row['counted']}: {left} left of {row['allowed']}{wait}"
