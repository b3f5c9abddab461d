"""Starts a Redis (or Valkey) of its own for the development stack and for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from devstack.components import Found, Launch, free_port
from devstack.processes import Child

# Counts of limits are nothing to keep on a disk, and nothing to forget either.
_SETTINGS: Mapping[str, str] = {
    "bind": "127.0.0.1",
    "save": '""',
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}


def launch_redis(found: Found, folder: Path, settings: Mapping[str, str] | None = None) -> Launch:
    """A server in ``folder``; ``settings`` are added to its configuration file, or replace some."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    lines = {**_SETTINGS, "port": str(port), "dir": str(folder), **(settings or {})}
    file = folder / "redis.conf"
    file.write_text("".join(f"{name} {value}\n" for name, value in lines.items()), "utf-8")
    file.chmod(0o600)
    listens = int(lines["port"]) or int(lines.get("tls-port", "0"))
    address = f"127.0.0.1:{listens}"
    return Launch([str(found.path), str(file)], address, _answering(listens))


def _answering(port: int) -> Callable[[Child], Awaitable[bool]]:
    """Ready when it answers a PING, be it with a refusal; over TLS when it accepts."""

    async def ready(child: Child) -> bool:
        try:
            async with asyncio.timeout(2.0):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"PING\r\n")
                said = await reader.read(1)
                writer.close()
        except OSError:
            return any("Ready to accept connections" in line for line in child.output)
        return said in (b"+", b"-") or any("Ready to accept" in line for line in child.output)

    return ready
