"""Proxies before a gateway: nginx, right and in four ways wrong, HAProxy, Caddy, and two of ours.

Those hold back what is small, and keep a client's leave to themselves. nginx does neither with
small events, whatever it is told: its buffers let a chunk go that is whole, and it notices a leave
when it writes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from devstack.components import find_program
from devstack.processes import Child

from ..components import missing_components
from .raw import TIMEOUT_S
from .served import free_port

RIGHT = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;'
HOLDS, SWALLOWS = "buffered", "leave_lost"
HELD_BYTES = 4096
# The code of the fault that a probe is to find → what nginx is told besides, or in its place.
WRONG: Mapping[str, str] = {
    "compressed": f"{RIGHT} gzip on; gzip_types text/event-stream; gzip_min_length 0;"
    " gzip_proxied any;",
    "idle_cut": f"{RIGHT} proxy_read_timeout 5s;",
    "http_1_0": RIGHT.replace("proxy_http_version 1.1", "proxy_http_version 1.0"),
    "headers_lost": f'{RIGHT} proxy_set_header Idempotency-Key ""; proxy_hide_header X-Request-ID;',
}


# All faults that there is a proxy for.
BROKEN = (*WRONG, HOLDS, SWALLOWS)


@dataclass(frozen=True)
class Proxies:
    """``broken`` has a port for each fault, ``good`` one for each product."""

    broken: Mapping[str, int]
    good: Mapping[str, int]


@contextlib.asynccontextmanager
async def proxies_before(address: tuple[str, int], folder: Path) -> AsyncIterator[Proxies]:
    """All of them, before the gateway at ``address``; a program that lacks fails or skips."""
    gateway = f"{address[0]}:{address[1]}"
    ports = {name: free_port() for name in (*BROKEN, "nginx", "haproxy", "caddy")}
    children = [
        _nginx(gateway, folder, ports),
        _haproxy(gateway, folder, ports["haproxy"]),
        _caddy(gateway, folder, ports["caddy"]),
    ]
    async with contextlib.AsyncExitStack() as stack:
        for name, proxy in ((HOLDS, _hold), (SWALLOWS, _swallow)):
            server = await asyncio.start_server(
                partial(_carry, proxy, address), "127.0.0.1", ports[name]
            )
            stack.callback(server.close)
        for child in children:
            stack.push_async_callback(child.stop)
            await child.start()
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*(_listens(port) for port in ports.values()))
        broken = {name: ports.pop(name) for name in BROKEN}
        yield Proxies(broken, ports)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _carry(
    proxy: Callable[[Ends, Ends], Awaitable[None]],
    address: tuple[str, int],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """One request to the gateway; ``proxy`` brings its answer back."""
    gateway = None
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        gateway = await asyncio.open_connection(*address)
        gateway[1].write(head)
        await proxy(gateway, (reader, writer))
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()
        if gateway is not None:
            gateway[1].close()


async def _swallow(gateway: Ends, client: Ends) -> None:
    """All of the answer is read, whether or not its client is there."""
    while piece := await gateway[0].read(1 << 16):
        if not client[1].is_closing():
            client[1].write(piece)


async def _hold(gateway: Ends, client: Ends) -> None:
    """The head goes on at once; what follows once there is much of it, or all."""
    client[1].write(await gateway[0].readuntil(b"\r\n\r\n"))
    leaving = asyncio.ensure_future(client[0].read())
    held = b""
    while not leaving.done():
        reading = asyncio.ensure_future(gateway[0].read(1 << 16))
        await asyncio.wait({leaving, reading}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            reading.cancel()
            return
        held += reading.result()
        if len(held) > HELD_BYTES or held.endswith(b"0\r\n\r\n") or not reading.result():
            client[1].write(held)
            held = b""
    leaving.result()


async def _listens(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)


def _program(name: str) -> str:
    found = find_program(name) or next(
        (
            path
            for folder in ("/usr/sbin", "/usr/local/sbin")
            if (path := Path(folder, name)).exists()
        ),
        None,
    )
    if found is None:
        missing_components(FileNotFoundError(f"{name} is needed, and is not on PATH"))  # type: ignore[arg-type]
    return str(found)


def _nginx(gateway: str, folder: Path, ports: Mapping[str, int]) -> Child:
    servers = "\n".join(
        f"server {{ listen 127.0.0.1:{ports[name]};"
        f" location / {{ proxy_pass http://{gateway}; proxy_set_header Host $host; {rules} }} }}"
        for name, rules in {**WRONG, "nginx": RIGHT}.items()
    )
    places = "\n".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\n"
        "events {}\n"
        f"http {{ access_log off;\n{places}\n{servers}\n}}\n"
    )
    return Child(
        "nginx", [_program("nginx"), "-p", str(folder), "-c", str(path)], env={}, cwd=folder
    )


def _haproxy(gateway: str, folder: Path, port: int) -> Child:
    path = folder / "haproxy.cfg"
    path.write_text(
        "defaults\n mode http\n timeout connect 5s\n timeout client 120s\n timeout server 120s\n"
        " option abortonclose\n option http-no-delay\n"
        f"listen gateway\n bind 127.0.0.1:{port}\n server one {gateway}\n"
    )
    return Child("haproxy", [_program("haproxy"), "-db", "-f", str(path)], env={}, cwd=folder)


def _caddy(gateway: str, folder: Path, port: int) -> Child:
    path = folder / "Caddyfile"
    path.write_text(
        "{\n admin off\n auto_https off\n persist_config off\n}\n"
        f"http://127.0.0.1:{port} {{\n reverse_proxy {gateway}\n}}\n"
    )
    command = [_program("caddy"), "run", "--adapter", "caddyfile", "--config", str(path)]
    env = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
    return Child("caddy", command, env=env, cwd=folder)
