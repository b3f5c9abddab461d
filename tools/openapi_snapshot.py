"""``python -m tools.openapi_snapshot``: what clients are promised, kept in ``versions/``.

For each version of the API, and for the routes at the root, there are three files:

- ``openapi.json``: the document that the gateway serves, with default settings;
- ``messages.json``: what is said on sockets and by agents, as if each message were a request;
- ``meanings.json``: what no schema says, such as codes, events, and the cases of ``conformance/``.

The command writes them again. It refuses what would break a client, which `docs/versions.md` tells:
of the first two ``oasdiff`` finds it, of the third what was there has to be there still.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import msgspec

from blueprints import mcp, query, query_socket
from blueprints.api import API
from devstack.components import find_program
from gateway.app import create_app
from gateway.domain import websocket
from gateway.domain.doors import DOORS
from gateway.edge.http import openapi
from gateway.edge.http.request_schemas import strict
from gateway.edge.mcp.revisions import SERVED
from gateway.edge.mcp.tools import Tool
from gateway.edge.ws.messages import Auth, Cancel
from gateway.errors import by_code
from gateway.flows.uploads import Uploads
from gateway.settings import Settings
from gateway.telemetry.stream_metrics import CLOSE_CODES
from gateway.wiring.from_settings import upload_rules

CHECKOUT = Path(__file__).parents[1]
KEPT = CHECKOUT / "versions"
# What oasdiff finds worse, or less bad, than clients of this API have to.
LEVELS = KEPT / "levels.txt"
COMMAND = "python -m tools.openapi_snapshot"
# All that has no default, and what none of the files depends on.
_ENVIRONMENT = {
    "GATEWAY_JWT_SECRET": "no secret, but as long as one has to be",
    "GATEWAY_ADMIN_USERNAME": "root",
    "GATEWAY_ADMIN_PASSWORD": "no password",
    "GATEWAY_SERVICES_CORE": "http://127.0.0.1:1",
    "GATEWAY_CORE_TOKEN": "no-token",
    "GATEWAY_SERVICES_TEMPORAL": "127.0.0.1:1",
    "GATEWAY_S3_BUCKET": "documents",
    "GATEWAY_S3_KEYS_BUCKET": "keys",
    "GATEWAY_S3_ACCESS_KEY": "access",
    "GATEWAY_S3_SECRET_KEY": "secret",
}
_REF = "#/components/schemas/{name}"

Json = dict[str, Any]


class NoOasdiff(Exception):
    """There is no ``oasdiff``; the message says where it comes from."""


@dataclass(frozen=True, slots=True)
class Change:
    """A file that is not what it was.

    Attributes:
        name: of the file below ``versions/``.
        breaks: what a client would notice; empty where none would.
    """

    name: str
    made: Json
    breaks: str


# --- what is promised now -------------------------------------------------------------------------


def promises() -> dict[str, Json]:
    """The files as they should be, by their names below ``versions/``."""
    settings = Settings.load(_ENVIRONMENT)
    app = create_app(settings, name="openapi_snapshot").sanic
    provided = {Uploads: SimpleNamespace(rules=upload_rules(settings))}
    places: dict[str, Any] = {"root": "root", **{one.name: one for one in API.versions}}
    found: dict[str, Json] = {}
    for name, place in places.items():
        document = openapi.build(app, place, provided)
        document["info"]["version"] = name
        messages, meanings = (
            (_agents_messages(), _meanings_at_root())
            if place == "root"
            else (_socket_messages(), _meanings())
        )
        found[f"{name}/openapi.json"] = document
        found[f"{name}/messages.json"] = messages
        found[f"{name}/meanings.json"] = meanings
    normal: dict[str, Json] = json.loads(json.dumps(found))
    return normal


def _socket_messages() -> Json:
    said = (query_socket.AskMessage, Auth, Cancel)
    return _as_requests({f"/query/ws/{kind.__name__}": (kind, None) for kind in said})


def _agents_messages() -> Json:
    tools: tuple[Tool, ...] = mcp.TOOLS.tools
    return _as_requests({f"/mcp/{one.name}": (one.arguments, one.output) for one in tools})


def _as_requests(messages: Mapping[str, tuple[type, type | None]]) -> Json:
    """A document whose paths are messages: what is sent as a body, what comes back as an answer."""
    sent = [asked for asked, _ in messages.values()]
    answered = [told for _, told in messages.values() if told is not None]
    _, schemas_sent = msgspec.json.schema_components(sent, ref_template=_REF)
    _, schemas_answered = msgspec.json.schema_components(answered, ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Messages", "version": "1"},
        "paths": {path: {"post": _request(*kinds)} for path, kinds in messages.items()},
        "components": {"schemas": {**schemas_answered, **strict(schemas_sent)}},
    }


def _request(asked: type, told: type | None) -> Json:
    answer: Json = {"description": "What comes of it."}
    if told is not None:
        answer["content"] = _content(told)
    return {
        "requestBody": {"required": True, "content": _content(asked)},
        "responses": {"200": answer},
    }


def _content(kind: type) -> Json:
    return {"application/json": {"schema": {"$ref": _REF.format(name=kind.__name__)}}}


def _meanings() -> Json:
    return {
        "error_codes": {code: cls.status for code, cls in sorted(by_code().items())},
        "events": _names(get_args(get_type_hints(query.StreamEvent)["event"])),
        "socket_subprotocols": _names([websocket.SUBPROTOCOL]),
        "socket_close_codes": _names(CLOSE_CODES),
        "socket_close_code_of": {
            code: websocket.close_for(cls()).code for code, cls in sorted(by_code().items())
        },
        **{f"cases at {door}": _cases(door) for door in DOORS if door != "http"},
    }


def _meanings_at_root() -> Json:
    return {"mcp_revisions": _names(SERVED)}


def _names(values: Any) -> dict[str, bool]:
    """A set in JSON."""
    return dict.fromkeys(sorted(map(str, values)), True)


def _cases(door: str) -> dict[str, str]:
    """Each case of ``conformance/`` with a digest of what happens and what this door's clients are
    told."""
    found = {}
    for path in sorted((CHECKOUT / "conformance").glob("*.jsonl")):
        for line in path.read_text("ascii").splitlines():
            case = json.loads(line)
            del case["rule"]
            told = case.pop("client")
            told |= told.pop("doors", {}).get(door, {})
            text = json.dumps([case, told], sort_keys=True)
            found[case["name"]] = sha256(text.encode()).hexdigest()[:12]
    return found


# --- what was promised before ---------------------------------------------------------------------


def changes(made: Mapping[str, Json], kept: Path = KEPT) -> list[Change]:
    """The files of ``kept`` that are not as ``made`` has them.

    Raises:
        NoOasdiff: it would have to tell whether one of them breaks a client.
    """
    found = []
    for name, document in made.items():
        path = kept / name
        before = json.loads(path.read_text("utf-8")) if path.exists() else None
        if before != document:
            breaks = "" if before is None else breaking(name, before, document)
            found.append(Change(name, document, breaks))
    return found


def breaking(name: str, before: Json, now: Json) -> str:
    """What of it a client would notice, a line each.

    Raises:
        NoOasdiff: see there.
    """
    if name.endswith("meanings.json"):
        return "\n".join(_lost(before, now))
    return "\n".join([*_redirects_lost(before, now), *_by_oasdiff(before, now).splitlines()])


def _redirects_lost(before: Json, now: Json) -> Iterator[str]:
    """To oasdiff a good status is a 2xx alone; clients follow a 302 and go by a 304, too."""
    for path, methods in before["paths"].items():
        for method, operation in methods.items():
            left = now["paths"].get(path, {}).get(method, {}).get("responses", {})
            for status in operation["responses"]:
                if status.startswith("3") and status not in left:
                    yield f"{method.upper()} {path}: {status} is gone"


def _lost(before: Json, now: Json) -> Iterator[str]:
    for subject, known in before.items():
        for name, meaning in known.items():
            is_now = now.get(subject, {}).get(name)
            if is_now is None:
                yield f"{subject}: {name} is gone"
            elif is_now != meaning:
                yield f"{subject}: {name} was {meaning} and is {is_now}"


def _by_oasdiff(before: Json, now: Json) -> str:
    program = find_program("oasdiff")
    if program is None:
        raise NoOasdiff("oasdiff is needed; `python -m devstack.fetch oasdiff` builds it (with Go)")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("before.json", "now.json")]
        for path, document in zip(paths, (before, now), strict=True):
            path.write_text(json.dumps(_open_ended(document)), "utf-8")
        options = ("--fail-on", "ERR", "--color", "never", "--severity-levels", str(LEVELS))
        done = subprocess.run(
            [program, "breaking", *options, *map(str, paths)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"oasdiff ended with {done.returncode}: {done.stderr}")
    return done.stdout if done.returncode else ""


def _open_ended(document: Json) -> Json:
    """Without the lists that may grow: of error codes and events. ``meanings.json`` has them."""
    grown = copy.deepcopy(document)
    schemas = grown["components"]["schemas"]
    for name, *path in (("Error", "error", "code"), ("StreamEvent", "event")):
        found = schemas.get(name)
        for part in path:
            found = (found or {}).get("properties", {}).get(part)
        if found:
            found.pop("enum", None)
    return grown


def advice(found: list[Change]) -> str:
    """What to do about these changes; empty where there is nothing to do."""
    broken = [f"versions/{one.name} breaks clients:\n{one.breaks}" for one in found if one.breaks]
    if broken:
        broken.append(
            "A version that is served keeps its promises. Make the change in a next one:"
            " docs/versions.md says how, and what else may be done."
        )
        return "\n".join(broken)
    if found:
        names = ", ".join(f"versions/{one.name}" for one in found)
        return f"No client breaks, but {names} must be written again: run `{COMMAND}`."
    return ""


def write(found: list[Change], kept: Path = KEPT) -> None:
    for one in found:
        path = kept / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(one.made, indent=1, sort_keys=True, ensure_ascii=True)
        path.write_text(f"{text}\n", "utf-8")


def main(argv: list[str] | None = None) -> int:
    """Writes what clients are promised, unless one of them would break. 0 when it is all there."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=main.__doc__)
    parser.parse_args(argv)
    try:
        found = changes(promises())
    except NoOasdiff as missing:
        print(missing, file=sys.stderr)
        return 1
    if any(one.breaks for one in found):
        print(advice(found), file=sys.stderr)
        return 1
    write(found)
    print("\n".join(f"written: versions/{one.name}" for one in found) or "All is as it was.")
    if found:
        print("Then `python -m tools.build_client`: the TypeScript client has its types of them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
