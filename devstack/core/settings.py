"""The core's settings, read once from the environment; every fault is reported at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from devstack.core.event_lines import DEFAULT_LIMIT_BYTES, SMALLEST_LIMIT_BYTES

Component = Literal["core", "worker"]
T = TypeVar("T")

FORM_LIFETIME_S = 15 * 60
EXPIRY_GRACE_S = 600


class SettingsError(Exception):
    """The environment cannot be used; ``faults`` has one line for each setting at fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where uploaded objects are; the credentials need read, list and delete on one bucket."""

    endpoint: str
    region: str
    bucket: str
    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """A model behind an OpenAI-compatible endpoint: one that writes answers, or makes vectors."""

    base_url: str
    model: str
    api_key: str | None


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of both processes; the worker leaves ``token`` empty, ``serve`` the storage."""

    host: str
    port: int
    token: str
    data_dir: Path
    temporal_address: str
    temporal_namespace: str
    task_queue: str
    storage: StorageSettings | None
    chat: EndpointSettings | None
    embeddings: EndpointSettings | None
    upload_timeout_s: float
    expiry_grace_s: float
    sweep_interval_s: float
    exit_with_stdin: bool
    line_limit_bytes: int = DEFAULT_LIMIT_BYTES
    debug: bool = False
    grpc_port: int | None = None


class _Reader:
    """Reads one setting after another and keeps every fault instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        value = self._environ.get(name, "").strip()
        if value:
            return value
        if default is None:
            self.faults.append(f"{name} is not set")
            return ""
        return default

    def parsed(self, name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
        value = self._environ.get(name, "").strip()
        if not value:
            return default
        try:
            return parse(value)
        except ValueError:
            self.faults.append(f"{name} is {value!r}; expected {expected}")
            return default

    def url(self, name: str, *, required: bool) -> str:
        value = self.text(name, None if required else "")
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            self.faults.append(f"{name} is {value!r}; expected an http:// or https:// address")
        return value.rstrip("/")


def _port(value: str) -> int:
    port = int(value)
    if not 0 <= port <= 65535:
        raise ValueError(value)
    return port


def _port_or_none(value: str) -> int | None:
    return _port(value)


def _seconds(value: str) -> float:
    seconds = float(value)
    if not 0 <= seconds <= 366 * 86400:
        raise ValueError(value)
    return seconds


def _interval(value: str) -> float:
    seconds = _seconds(value)
    if seconds < 0.1:
        raise ValueError(value)
    return seconds


def _line_limit(value: str) -> int:
    limit = int(value)
    if limit < SMALLEST_LIMIT_BYTES:
        raise ValueError(value)
    return limit


def _flag(value: str) -> bool:
    if value not in ("0", "1"):
        raise ValueError(value)
    return value == "1"


def _storage(reader: _Reader) -> StorageSettings:
    return StorageSettings(
        endpoint=reader.url("CORE_S3_ENDPOINT", required=True),
        region=reader.text("CORE_S3_REGION", "us-east-1"),
        bucket=reader.text("CORE_S3_BUCKET"),
        access_key=reader.text("CORE_S3_ACCESS_KEY"),
        secret_key=reader.text("CORE_S3_SECRET_KEY"),
    )


def _endpoint(reader: _Reader, name: str) -> EndpointSettings | None:
    base_url = reader.url(f"{name}_BASE_URL", required=False)
    model = reader.text(f"{name}_MODEL", "")
    api_key = reader.text(f"{name}_API_KEY", "")
    if not base_url:
        if model or api_key:
            reader.faults.append(f"{name}_BASE_URL is not set, but a model or key for it is")
        return None
    if not model:
        reader.faults.append(f"{name}_MODEL is not set, but {name}_BASE_URL is")
    return EndpointSettings(base_url=base_url, model=model, api_key=api_key or None)


def read_settings(environ: Mapping[str, str], component: Component) -> Settings:
    """The settings one process needs.

    Raises:
        SettingsError: with every fault found. Values of secrets are never part of a message.
    """
    reader = _Reader(environ)
    grace_s = reader.parsed("CORE_EXPIRY_GRACE_S", float(EXPIRY_GRACE_S), _seconds, "seconds")
    settings = Settings(
        host=reader.text("CORE_HOST", "127.0.0.1"),
        port=reader.parsed("CORE_PORT", 8100, _port, "a port number, 0 for a free one"),
        token=reader.text("CORE_TOKEN") if component == "core" else "",
        data_dir=Path(reader.text("CORE_DATA_DIR")),
        temporal_address=reader.text("CORE_TEMPORAL_ADDRESS", "127.0.0.1:7233"),
        temporal_namespace=reader.text("CORE_TEMPORAL_NAMESPACE", "default"),
        task_queue=reader.text("CORE_TASK_QUEUE", "documents"),
        storage=_storage(reader) if component == "worker" else None,
        chat=_endpoint(reader, "CORE_OPENAI") if component == "core" else None,
        embeddings=_endpoint(reader, "CORE_EMBEDDINGS"),
        upload_timeout_s=reader.parsed(
            "CORE_UPLOAD_TIMEOUT", FORM_LIFETIME_S + grace_s, _seconds, "seconds"
        ),
        expiry_grace_s=grace_s,
        sweep_interval_s=reader.parsed(
            "CORE_SWEEP_INTERVAL_S", 300.0, _interval, "seconds, at least 0.1"
        ),
        exit_with_stdin=reader.parsed("CORE_EXIT_WITH_STDIN", False, _flag, "0 or 1"),
        line_limit_bytes=reader.parsed(
            "CORE_EVENT_LINE_BYTES",
            DEFAULT_LIMIT_BYTES,
            _line_limit,
            f"a number of bytes, at least {SMALLEST_LIMIT_BYTES}",
        ),
        debug=reader.parsed("CORE_DEBUG", False, _flag, "0 or 1"),
        grpc_port=reader.parsed(
            "CORE_GRPC_PORT", None, _port_or_none, "a port number, 0 for a free one"
        ),
    )
    if reader.faults:
        raise SettingsError(reader.faults)
    return settings
