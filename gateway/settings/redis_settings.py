"""The settings of Redis: where it is, how it is asked, and how long an answer may take."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gateway.settings import parsers as p
from gateway.settings.faults import Fault
from gateway.settings.overload_settings import OverloadSettings
from gateway.settings.spec import group
from gateway.settings.tls_settings import ca_setting, cert_setting, key_setting

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379
# Whether TLS, and whether sentinels.
_SCHEMES = {
    "redis": (False, False),
    "rediss": (True, False),
    "redis+sentinel": (False, True),
    "rediss+sentinel": (True, True),
}
_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,30}:\Z")
_MASTER = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_DATABASE = re.compile(r"[0-9]{1,4}\Z")

_redis = group("Redis")


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A server, or the sentinels that know where ``master`` is. Of secrets ``repr`` says nothing.

    ``addresses`` are hosts, IPv6 ones without brackets, and ports.
    """

    addresses: tuple[tuple[str, int], ...]
    tls: bool = False
    master: str | None = None
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


def parse_redis_url(text: str) -> RedisUrl:
    """Raises ``ValueError`` for anything that is no such URL."""
    parts = urlsplit(text)
    tls, sentinel = _SCHEMES[parts.scheme] if parts.scheme in _SCHEMES else _no(text)
    if parts.query or parts.fragment or re.search(r"[\s\x00-\x1f\x7f\\#?]", text):
        _no(text)
    user, _, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    master, database = _path(parts.path, sentinel)
    port = SENTINEL_PORT if sentinel else DEFAULT_PORT
    addresses = tuple(_address(one, port) for one in hosts.split(","))
    if (len(addresses) > 1 and not sentinel) or len(set(addresses)) != len(addresses):
        _no(text)
    return RedisUrl(
        addresses, tls, master, database, unquote(name) or None, unquote(password) or None
    )


def _no(text: str) -> Any:
    raise ValueError(text)


def _path(path: str, sentinel: bool) -> tuple[str | None, int]:
    """The name of the sentinels' master, where there are any, and the number of the database."""
    parts = path.removeprefix("/").split("/")
    master = parts.pop(0) if sentinel else None
    if master is not None and not _MASTER.match(master):
        _no(path)
    database = "/".join(parts) or "0"
    if not _DATABASE.match(database):
        _no(path)
    return master, int(database)


def _address(text: str, default_port: int) -> tuple[str, int]:
    bare = text.endswith("]") or ":" not in text
    host, _, port = (f"{text}:{default_port}" if bare else text).rpartition(":")
    p.ADDRESS.parse(f"{host}:{port}")
    return host.strip("[]"), int(port)


def _parse_prefix(text: str) -> str:
    return text if _PREFIX.match(text) else str(_no(text))


REDIS_URL = p.Parser(
    "redis://, rediss:// (TLS), redis+sentinel:// or rediss+sentinel://, such as"
    " redis://user:password@host:6379/0 or redis+sentinel://host:26379,host:26379/master",
    parse_redis_url,
)
PREFIX = p.Parser("up to 30 letters, digits, dots, hyphens or _, and then a colon", _parse_prefix)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RedisSettings(OverloadSettings):
    """Part of ``Settings``: what replicas count together."""

    redis_url: RedisUrl | None = _redis(
        REDIS_URL,
        None,
        "The Redis (or Valkey) in which all replicas count limits together, or its sentinels:"
        " `redis://[user:password@]host[:port][/database]`, `rediss://…` over TLS,"
        " `redis+sentinel://host:port,host:port/master`. It must evict nothing"
        " (`maxmemory-policy noeviction`); needs the extra `[redis]`. Unset: each replica counts"
        " for itself, in memory that its workers share.",
        secret=True,
        example="redis://127.0.0.1:6379/0",
    )
    redis_password: str | None = _redis(
        p.TOKEN, None, "Password for Redis, instead of one in its URL.", secret=True
    )
    redis_sentinel_password: str | None = _redis(
        p.TOKEN,
        None,
        "Password for the sentinels themselves. Unset: they ask for none.",
        secret=True,
    )
    redis_prefix: str = _redis(
        PREFIX,
        "kbg:",
        "What every key in Redis begins with; another one for each gateway that shares a Redis.",
    )
    redis_timeout: float = _redis(
        p.duration("10ms", "10s"),
        "250ms",
        "How long Redis may take to answer; then the replica counts for itself until it is back.",
    )
    redis_ca_file: Path | None = ca_setting("Redis")
    redis_cert_file: Path | None = cert_setting("Redis")
    redis_key_file: Path | None = key_setting("Redis")


def redis_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Of the settings that were read without a fault: those that do not go together."""
    if "redis_url" not in values:
        return
    url: RedisUrl | None = values["redis_url"]
    yield from _passwords(url, values)
    if url is not None and not url.tls:
        yield from _unused_files(values)


def _passwords(url: RedisUrl | None, values: Mapping[str, Any]) -> Iterator[Fault]:
    if url is None:
        for name in ("redis_password", "redis_sentinel_password"):
            if values.get(name) is not None:
                expected = f"to be set, as GATEWAY_{name.upper()} is"
                yield Fault("GATEWAY_REDIS_URL", None, expected)
        return
    if url.password is not None and values.get("redis_password") is not None:
        expected = "either it or a password in GATEWAY_REDIS_URL, not both"
        yield Fault("GATEWAY_REDIS_PASSWORD", None, expected)
    if url.master is None and values.get("redis_sentinel_password") is not None:
        expected = "to be unset, or sentinels in GATEWAY_REDIS_URL"
        yield Fault("GATEWAY_REDIS_SENTINEL_PASSWORD", None, expected)


def _unused_files(values: Mapping[str, Any]) -> Iterator[Fault]:
    """The operator expects that they are used."""
    for name in ("redis_ca_file", "redis_cert_file", "redis_key_file"):
        if values.get(name) is not None:
            expected = (
                f"a rediss:// or rediss+sentinel:// address, as GATEWAY_{name.upper()} is set"
            )
            yield Fault("GATEWAY_REDIS_URL", None, expected)
            return
