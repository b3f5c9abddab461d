"""What each process of the stack is given: secrets made for this run, environment variables."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import devstack
from devstack.components import S3Account

DOCUMENTS_BUCKET = "documents"
KEYS_BUCKET = "gateway-keys"
ADMIN = "admin"
TENANT = "main"

# Variables that the user's shell has for another gateway, core or store must not reach ours. The
# core's model settings are the exception: with them the user chooses a real model.
_STRIPPED = ("GATEWAY_", "CORE_", "AWS_", "OPA_", "TEMPORAL_", "VGW_", "ROOT_ACCESS", "ROOT_SECRET")
_KEPT = ("CORE_OPENAI_",)


def _account(name: str) -> S3Account:
    return S3Account(f"{name}-{secrets.token_hex(4)}", secrets.token_hex(20))


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """Random for every stack. The core's account reaches the documents and nothing else."""

    jwt: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    core_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    admin_password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    gateway_store: S3Account = field(default_factory=lambda: _account("gateway"))
    core_store: S3Account = field(default_factory=lambda: _account("core"))


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what is meant for other components of the same kinds."""
    env = {
        name: value
        for name, value in environ.items()
        if not name.startswith(_STRIPPED) or name.startswith(_KEPT)
    }
    # Everything we start is on this machine and must not be called through a proxy.
    env["NO_PROXY"] = env["no_proxy"] = "127.0.0.1,localhost"
    env["PYTHONUNBUFFERED"] = "1"
    # The children run in another folder and must still import the same code as this process.
    ours = str(Path(devstack.__file__).parent.parent)
    others = [str(Path(place).absolute()) for place in _python_path(environ)]
    env["PYTHONPATH"] = os.pathsep.join([ours, *(place for place in others if place != ours)])
    return env


def _python_path(environ: Mapping[str, str]) -> list[str]:
    return [place for place in environ.get("PYTHONPATH", "").split(os.pathsep) if place]


def core_env(
    secrets: Secrets, *, port: int, data_dir: Path, s3: str, temporal: str
) -> dict[str, str]:
    """For ``python -m devstack.core serve`` and ``worker`` alike."""
    return {
        "CORE_HOST": "127.0.0.1",
        "CORE_PORT": str(port),
        "CORE_TOKEN": secrets.core_token,
        "CORE_DATA_DIR": str(data_dir),
        "CORE_TEMPORAL_ADDRESS": temporal,
        "CORE_TEMPORAL_NAMESPACE": "default",
        "CORE_S3_ENDPOINT": s3,
        "CORE_S3_REGION": secrets.core_store.region,
        "CORE_S3_BUCKET": DOCUMENTS_BUCKET,
        "CORE_S3_ACCESS_KEY": secrets.core_store.access_key,
        "CORE_S3_SECRET_KEY": secrets.core_store.secret_key,
    }


def gateway_env(
    secrets: Secrets,
    *,
    port: int,
    admin_port: int,
    workers: int,
    core: str,
    s3: str,
    temporal: str,
    opa: str | None,
    redis: str | None,
    policy_dir: Path | None,
) -> dict[str, str]:
    """For ``gateway serve``.

    ``opa`` is ``None`` where the embedded engine decides, ``redis`` where memory counts limits.
    """
    env = {
        "GATEWAY_SERVER_HOST": "127.0.0.1",
        "GATEWAY_SERVER_PORT": str(port),
        "GATEWAY_SERVER_WORKERS": str(workers),
        "GATEWAY_ADMIN_LISTEN_PORT": str(admin_port),
        # There is no load balancer that needs time to notice a stop.
        "GATEWAY_DRAIN_GRACE": "0s",
        "GATEWAY_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "GATEWAY_JWT_SECRET": secrets.jwt,
        "GATEWAY_ADMIN_USERNAME": ADMIN,
        "GATEWAY_ADMIN_PASSWORD": secrets.admin_password,
        "GATEWAY_ADMIN_TENANT": TENANT,
        "GATEWAY_SERVICES_CORE": core,
        "GATEWAY_CORE_TOKEN": secrets.core_token,
        "GATEWAY_SERVICES_TEMPORAL": temporal,
        "GATEWAY_S3_ENDPOINT": s3,
        "GATEWAY_S3_REGION": secrets.gateway_store.region,
        "GATEWAY_S3_BUCKET": DOCUMENTS_BUCKET,
        "GATEWAY_S3_KEYS_BUCKET": KEYS_BUCKET,
        "GATEWAY_S3_ACCESS_KEY": secrets.gateway_store.access_key,
        "GATEWAY_S3_SECRET_KEY": secrets.gateway_store.secret_key,
    }
    if redis is not None:
        env["GATEWAY_REDIS_URL"] = f"redis://{redis}"
    if opa is not None:
        env["GATEWAY_SERVICES_OPA"] = opa
    elif policy_dir is not None:
        env["GATEWAY_POLICY_DIR"] = str(policy_dir)
    return env
