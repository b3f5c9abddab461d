"""The compared systems: how each is started, and the address for its clients.

Every one has one process (one worker, ``GOMAXPROCS=1``, ``nbthread 1``), the same core, and the
settings that its users would choose for event streams. All but the gateway and
``go-jwt-opa`` neither check tokens nor ask a policy.
"""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import install
from benchmarks.people import People
from devstack import components
from devstack.components import Launch, Missing, answering, free_port
from devstack.processes import Child

CORE_TOKEN = "benchmarks-core-token"  # The stub core's; it protects nothing.


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Site:
    """The surroundings a peer is started in. ``folder`` is removed at the end of the run.

    With ``tls`` the gateway, Go's proxy and nginx serve HTTPS.
    """

    folder: Path
    programs: Mapping[str, Path]
    core: str
    core_grpc: str
    s3: str
    temporal: str
    opa: str | None
    people: People
    workers: int = 1
    gateway_settings: Mapping[str, str] = field(default_factory=dict)
    gateway_opa_server: bool = False
    tls: Pair | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """``prefix`` is the path before ``/query`` and ``/documents/{id}``.

    ``prepare`` installs what it needs and returns its version; it raises ``Missing``.
    """

    name: str
    prefix: str
    prepare: Callable[[], str]
    plan: Callable[[Site], Launch]
    needs_opa: bool = False


# --- the gateway ----------------------------------------------------------------------------------


def _gateway_version() -> str:
    return install.gateway_wheel().version


def _gateway(site: Site) -> Launch:
    port = free_port()
    env = {
        "PYTHONPATH": str(install.gateway_wheel().path),
        "GATEWAY_SERVER_PORT": str(port),
        "GATEWAY_SERVER_WORKERS": str(site.workers),
        "GATEWAY_ADMIN_LISTEN_PORT": str(free_port()),
        "GATEWAY_JWT_SECRET": site.people.jwt_secret,
        "GATEWAY_USERS_FILE": str(site.people.users_file),
        "GATEWAY_SERVICES_CORE": site.core,
        "GATEWAY_CORE_TOKEN": CORE_TOKEN,
        "GATEWAY_SERVICES_TEMPORAL": site.temporal,
        "GATEWAY_S3_ENDPOINT": site.s3,
        "GATEWAY_S3_BUCKET": "documents",
        "GATEWAY_S3_KEYS_BUCKET": "gateway-keys",
        "GATEWAY_S3_ACCESS_KEY": "benchmarks",
        "GATEWAY_S3_SECRET_KEY": "benchmarks-secret",
        **site.gateway_settings,
    }
    if site.gateway_opa_server and site.opa:
        env["GATEWAY_SERVICES_OPA"] = site.opa
    if site.tls is not None:
        env |= {"GATEWAY_TLS_CERT_FILE": str(site.tls.cert)}
        env |= {"GATEWAY_TLS_KEY_FILE": str(site.tls.key)}
    ready = answering(port, "/readyz", b'"status":"ok"', tls=_trust(site))
    return Launch([sys.executable, "-m", "gateway", "serve"], _address(site, port), ready, env)


def _address(site: Site, port: int) -> str:
    return f"{'http' if site.tls is None else 'https'}://127.0.0.1:{port}"


def _trust(site: Site) -> ssl.SSLContext | None:
    """What whoever waits for a system's start brings to it."""
    return None if site.tls is None else ssl.create_default_context(cafile=site.tls.cert)


# --- Go -------------------------------------------------------------------------------------------


def _go_version() -> str:
    from benchmarks.gobuild import find_go

    return _first_version([find_go(), "version"])


def _reverse_proxy(site: Site) -> Launch:
    port = free_port()
    program = str(site.programs["reverseproxy"])
    command = [program, "-listen", f"127.0.0.1:{port}", "-core", site.core]
    if site.tls is not None:
        command += ["-cert", str(site.tls.cert), "-key", str(site.tls.key)]
    env = {"GOMAXPROCS": str(site.workers)}
    ready = answering(port, "/healthz", tls=_trust(site))
    return Launch(command, _address(site, port), ready, env)


def _reverse_proxy_checking(site: Site) -> Launch:
    bare = _reverse_proxy(site)
    if site.opa is None:
        raise Missing("go-jwt-opa: no `opa`; `python -m devstack.fetch opa` builds it")
    env = {**bare.env, "JWT_SECRET": site.people.jwt_secret}
    port = int(bare.address.rpartition(":")[2])
    return Launch([*bare.command, "-opa", site.opa], bare.address, _refusing(port), env)


def _refusing(port: int) -> Callable[[Child], Awaitable[bool]]:
    async def ready(child: Child) -> bool:
        return (await components.http_get(port, "/healthz")).startswith(b"HTTP/1.1 401 ")

    return ready


# --- proxies in C and Go --------------------------------------------------------------------------


def _nginx_version() -> str:
    return _first_version([_program("nginx"), "-v"])


def _nginx(site: Site) -> Launch:
    port = free_port()
    place = site.folder / f"nginx-{port}"
    place.mkdir()
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"  {name}_temp_path {place}/{name};" for name in names)
    secured = "backlog=4096"
    if site.tls is not None:
        # Records as small as the gateway's: the usual ones of 16 KiB are buffers of that size.
        secured = "ssl backlog=4096; ssl_buffer_size 4k; ssl_protocols TLSv1.2 TLSv1.3"
        secured += f"; ssl_certificate {site.tls.cert}; ssl_certificate_key {site.tls.key}"
    config = f"""
{"user root;" if os.geteuid() == 0 else ""}
daemon off; worker_processes {site.workers}; worker_rlimit_nofile {_files_limit()};
pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections {_files_limit()}; }}
http {{
{temporary}
  access_log {place}/access.log;
  upstream core {{ server {site.core.removeprefix("http://")}; keepalive 1000; }}
  server {{
    listen 127.0.0.1:{port} {secured};
    location / {{
      proxy_pass http://core;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 15m;
    }}
  }}
}}
"""
    path = place / "nginx.conf"
    path.write_text(config, "utf-8")
    command = [_program("nginx"), "-p", str(place), "-e", f"{place}/error.log", "-c", str(path)]
    ready = answering(port, "/healthz", tls=_trust(site))
    return Launch(command, _address(site, port), ready)


def _haproxy_version() -> str:
    return _first_version([_program("haproxy"), "-v"])


def _haproxy(site: Site) -> Launch:
    port = free_port()
    config = f"""
global
  nbthread {site.workers}
  maxconn {_files_limit() // 3}
defaults
  mode http
  timeout connect 5s
  timeout client 15m
  timeout server 15m
  option http-no-delay
  http-reuse always
listen relay
  bind 127.0.0.1:{port} backlog 4096
  server core {site.core.removeprefix("http://")}
"""
    path = site.folder / f"haproxy-{port}.cfg"
    path.write_text(config, "utf-8")
    command = [_program("haproxy"), "-db", "-f", str(path)]
    return Launch(command, f"http://127.0.0.1:{port}", answering(port, "/healthz"))


def _caddy_version() -> str:
    return _first_version([str(install.venv("caddy").program("caddy")), "version"])


def _caddy(site: Site) -> Launch:
    port = free_port()
    config = f"""
{{
  admin off
  auto_https off
  persist_config off
}}
http://127.0.0.1:{port} {{
  bind 127.0.0.1
  reverse_proxy {site.core} {{
    flush_interval -1
  }}
}}
"""
    path = site.folder / f"Caddyfile-{port}"
    path.write_text(config, "utf-8")
    caddy = str(install.venv("caddy").program("caddy"))
    command = [caddy, "run", "--adapter", "caddyfile", "--config", str(path)]
    env = {"GOMAXPROCS": str(site.workers), "HOME": str(site.folder)}
    return Launch(command, f"http://127.0.0.1:{port}", answering(port, "/healthz"), env)


# --- Python ---------------------------------------------------------------------------------------

_PEER_FILES = Path(__file__).with_name("peer_files")


def _fastapi_version() -> str:
    return install.venv("fastapi-httpx").versions("fastapi", "httpx", "uvicorn")


def _fastapi(site: Site) -> Launch:
    port = free_port()
    python = str(install.venv("fastapi-httpx").program("python"))
    command = [python, "-m", "uvicorn", "fastapi_relay:app", "--app-dir", str(_PEER_FILES)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--backlog", "4096"]
    env = {"CORE": site.core, "PYTHONPATH": ""}
    return Launch(command, f"http://127.0.0.1:{port}", answering(port, "/healthz"), env)


def _litellm_version() -> str:
    return install.venv("litellm").versions("litellm")


def _litellm(site: Site) -> Launch:
    port = free_port()
    path = site.folder / f"litellm-{port}.yaml"
    path.write_text(
        "general_settings:\n  pass_through_endpoints:\n"
        f"    - path: /v1/query\n      target: {site.core}/v1/query\n      forward_headers: true\n",
        "utf-8",
    )
    command = [str(install.venv("litellm").program("litellm")), "--config", str(path)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    env = {
        "PYTHONPATH": "",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_DOCS": "True",
        # It refuses to start without a key of its own; a pass-through endpoint asks for none.
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    return Launch(command, f"http://127.0.0.1:{port}", answering(port, "/health/liveliness"), env)


# --- all ------------------------------------------------------------------------------------------

PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("gateway", "/api/v1", _gateway_version, _gateway),
        Peer("go-reverseproxy", "/v1", _go_version, _reverse_proxy),
        Peer("go-jwt-opa", "/v1", _go_version, _reverse_proxy_checking, needs_opa=True),
        Peer("nginx", "/v1", _nginx_version, _nginx),
        Peer("haproxy", "/v1", _haproxy_version, _haproxy),
        Peer("caddy", "/v1", _caddy_version, _caddy),
        Peer("fastapi-httpx", "/v1", _fastapi_version, _fastapi),
        Peer("litellm", "/v1", _litellm_version, _litellm),
    )
}
DEFAULT_PEERS = ("gateway", "go-reverseproxy", "go-jwt-opa", "nginx", "haproxy", "caddy")
QUICK_PEERS = ("gateway", "go-reverseproxy", "nginx")


def _program(name: str) -> str:
    """Servers live in sbin, which is not on everybody's PATH. Raises ``Missing``."""
    if found := components.find_program(name):
        return str(found)
    for place in ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"):
        if (path := Path(place) / name).exists():
            return str(path)
    raise Missing(f"{name}: not installed; `apt-get install --no-install-recommends {name}`")


def _files_limit() -> int:
    import resource

    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65536)


def _first_version(command: Sequence[str]) -> str:
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=False
    )
    match = re.search(r"\d+\.\d+(?:\.\d+)?[\w.+-]*", said.stdout + said.stderr)
    return match[0] if match else "unknown"
