"""What ``gateway init`` writes: settings of one machine, also for the programs beside it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from gateway.settings import SPECS, read
from gateway.settings.env_file import line

# What is asked for at a terminal: setting, question, the usual answer on one machine.
ADDRESSES = (
    ("GATEWAY_PUBLIC_URL", "The gateway, as browsers reach it", "http://127.0.0.1:8080"),
    ("GATEWAY_S3_ENDPOINT", "The object store", "http://127.0.0.1:7070"),
    ("GATEWAY_SERVICES_TEMPORAL", "Temporal", "127.0.0.1:7233"),
    ("GATEWAY_SERVICES_CORE", "The core", "http://127.0.0.1:8100"),
    ("GATEWAY_ADMIN_USERNAME", "The name of an admin", "admin"),
)
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_PARSERS = {spec.env or "": spec.parser for spec in SPECS.values()}


class Refused(Exception):
    """It cannot be done; the text is shown, and holds no secret."""


def _secret() -> str:
    # 32 random bytes in letters that neither a shell nor Compose takes for anything else.
    return secrets.token_urlsafe(32)


def _account(name: str) -> Callable[[], str]:
    return lambda: f"{name}-{secrets.token_hex(4)}"


# What is made or known where nothing else is said.
_USUAL: Mapping[str, Callable[[], str]] = {
    "GATEWAY_JWT_SECRET": _secret,
    "GATEWAY_KEYS_SECRET": _secret,
    "GATEWAY_ADMIN_PASSWORD": _secret,
    "GATEWAY_CORE_TOKEN": _secret,
    "GATEWAY_S3_REGION": lambda: "us-east-1",
    "GATEWAY_S3_BUCKET": lambda: "documents",
    "GATEWAY_S3_KEYS_BUCKET": lambda: "gateway-keys",
    "GATEWAY_S3_ACCESS_KEY": _account("gateway"),
    "GATEWAY_S3_SECRET_KEY": _secret,
    "CORE_DATA_DIR": lambda: "data/core",
    "CORE_S3_ACCESS_KEY": _account("core"),
    "CORE_S3_SECRET_KEY": _secret,
}
# What the store and the reference core call what the gateway has under another name.
_SAME = {
    "ROOT_ACCESS_KEY": "GATEWAY_S3_ACCESS_KEY",
    "ROOT_SECRET_KEY": "GATEWAY_S3_SECRET_KEY",
    "CORE_TOKEN": "GATEWAY_CORE_TOKEN",
    "CORE_TEMPORAL_ADDRESS": "GATEWAY_SERVICES_TEMPORAL",
    "CORE_S3_ENDPOINT": "GATEWAY_S3_ENDPOINT",
    "CORE_S3_REGION": "GATEWAY_S3_REGION",
    "CORE_S3_BUCKET": "GATEWAY_S3_BUCKET",
}
_HEAD = """\
# Settings of a gateway on one machine, written by `gateway init`. It is full of secrets: keep it to
# yourself. The gateway's commands read it in this folder; other programs get it by
#   set -a; . ./.env; set +a
# and containers by compose.yaml. All settings: docs/settings.md. How to go on: docs/start.md.
"""
# Comment, and the names below it.
_SECTIONS = (
    (
        "The gateway. The address is what browsers have: the console and sign-in go by it.",
        ("GATEWAY_PUBLIC_URL", "GATEWAY_SERVER_PORT"),
    ),
    (
        "Signs tokens, and the checksum of API keys. With another one all sessions end.",
        ("GATEWAY_JWT_SECRET", "GATEWAY_KEYS_SECRET"),
    ),
    (
        "Who can sign in. For more people: `gateway user add`, with GATEWAY_USERS_FILE set here.",
        ("GATEWAY_ADMIN_USERNAME", "GATEWAY_ADMIN_PASSWORD"),
    ),
    (
        "The core, which must ask for this token.",
        ("GATEWAY_SERVICES_CORE", "GATEWAY_CORE_TOKEN"),
    ),
    ("Temporal.", ("GATEWAY_SERVICES_TEMPORAL",)),
    (
        "The object store, with an account that may make both buckets. In AWS: no endpoint.",
        (
            *("GATEWAY_S3_ENDPOINT", "GATEWAY_S3_REGION"),
            *("GATEWAY_S3_BUCKET", "GATEWAY_S3_KEYS_BUCKET"),
            *("GATEWAY_S3_ACCESS_KEY", "GATEWAY_S3_SECRET_KEY"),
        ),
    ),
    (
        "For an object store that is started here (versitygw): its first account is the gateway's.",
        ("ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"),
    ),
    (
        "For the reference core and its worker; their account may read the documents alone.",
        (
            *("CORE_DATA_DIR", "CORE_TOKEN", "CORE_TEMPORAL_ADDRESS"),
            *("CORE_S3_ENDPOINT", "CORE_S3_REGION", "CORE_S3_BUCKET"),
            *("CORE_S3_ACCESS_KEY", "CORE_S3_SECRET_KEY"),
        ),
    ),
)
NAMES = tuple(name for _, names in _SECTIONS for name in names)


def checked(name: str, text: str) -> str:
    """The text, where the setting takes it. Raises ``Refused`` with what is expected."""
    try:
        _PARSERS[name].parse(text)
    except ValueError:
        raise Refused(f"expected {_PARSERS[name].expected}") from None
    return text


def chosen(given: Mapping[str, str]) -> dict[str, str]:
    """A value for each name: what is given, else the usual, else a new secret.

    Raises:
        Refused: the gateway would not take them.
    """
    usual = {name: text for name, _, text in ADDRESSES}
    values = {name: given.get(name) or text for name, text in usual.items()}
    values |= {name: given.get(name) or make() for name, make in _USUAL.items()}
    port = given.get("GATEWAY_SERVER_PORT") or _port(values["GATEWAY_PUBLIC_URL"])
    values["GATEWAY_SERVER_PORT"] = port
    values |= {name: given.get(name) or values[other] for name, other in _SAME.items()}
    faults = read(SPECS, values, None).faults
    if faults:
        raise Refused("; ".join(map(str, faults)))
    return values


def _port(url: str) -> str:
    """Where a gateway listens that browsers of its own machine reach by ``url``; else its usual."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "8080"
    return str(port or 80) if parts.scheme == "http" and parts.hostname in LOOPBACK else "8080"


def contents(values: Mapping[str, str]) -> bytes:
    """The file's bytes. Raises ``Refused`` for a value that such a file cannot hold."""
    try:
        return (_HEAD + "".join(_lines(values))).encode()
    except UnicodeEncodeError:
        # Bytes of the environment that are none in UTF-8 are half characters here.
        raise Refused("a setting of the environment is not in UTF-8") from None
    except ValueError as problem:
        raise Refused(str(problem)) from problem


def _lines(values: Mapping[str, str]) -> Iterator[str]:
    for comment, names in _SECTIONS:
        yield f"\n# {comment}\n"
        yield from (line(name, values[name]) + "\n" for name in names)
