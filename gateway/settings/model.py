"""The one list of the gateway's settings: name, kind, default, meaning.

The loading, ``.env.example``, the settings page and the output of ``gateway check`` are all made
from it. Once loaded, durations are seconds (``float``) and sizes are bytes (``int``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.domain.documents import ALLOWED_TYPES
from gateway.settings import parsers as p
from gateway.settings.console_settings import ConsoleSettings
from gateway.settings.faults import SettingsError
from gateway.settings.loading import read
from gateway.settings.spec import Spec, group, specs_of

_server = group("Server")
_identity = group("Tokens and users")
_core = group("The core")
_temporal = group("Temporal")
_policy = group("Policy")
_storage = group("Object storage")
_uploads = group("Uploads")
_browsers = group("Browsers and answers")
_limits = group("Request limits")
_streams = group("Streams")
_stop = group("Stopping")
_reports = group("Logs, traces and error reports")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings(ConsoleSettings):
    """The gateway's settings, loaded once per process and never changed.

    Durations are seconds, sizes bytes. ``repr`` shows secrets as ``***``.
    """

    server_host: str = _server(p.HOST, "127.0.0.1", "Address the public API listens on.")
    server_port: int = _server(p.integer(1, 65535), "8080", "Port the public API listens on.")
    server_workers: int = _server(p.integer(1, 64), "1", "Worker processes that serve the API.")
    public_url: str | None = _server(
        p.URL,
        None,
        "The gateway's address as clients know it; `complete_url` and OpenAI's annotations start"
        " with it. Unset: they have a path.",
        example="https://kb.example.com",
    )
    admin_host: str = _server(
        p.HOST,
        "127.0.0.1",
        "Address of the admin listener (`/metrics`, and `/readyz` with latencies and reasons)."
        " Keep it away from the public network.",
        env="GATEWAY_ADMIN_LISTEN_HOST",
    )
    admin_port: int = _server(
        p.integer(0, 65535),
        "9090",
        "Port of the admin listener; 0 turns it off.",
        env="GATEWAY_ADMIN_LISTEN_PORT",
    )
    trusted_proxies: tuple[p.Network, ...] = _server(
        p.list_of(p.NETWORK, "networks such as 10.0.0.0/8"),
        "",
        "Networks of proxies whose `X-Forwarded-For`, or `Forwarded` where it is missing, gives the"
        " client's address. Empty: both headers are ignored.",
        example="10.0.0.0/8",
    )

    jwt_secret: bytes = _identity(
        p.JWT_SECRET,
        None,
        "Key that signs and verifies tokens (HS256), the same on every replica.",
        secret=True,
        required=True,
    )
    jwt_secret_previous: bytes | None = _identity(
        p.JWT_SECRET,
        None,
        "The previous key: it still verifies tokens but signs none. For rotation: remove it when"
        " the last token it signed has expired.",
        secret=True,
    )
    jwt_expiration: float = _identity(
        p.duration("1s", "30d"), "24h", "How long a token from a login is valid."
    )
    jwt_skew: float = _identity(
        p.duration("0s", "120s"), "30s", "How far clocks may differ when token times are checked."
    )
    jwt_issuer: str = _identity(p.TEXT, "knowledge-base-gateway", "The tokens' `iss` claim.")
    jwt_audience: str = _identity(p.TEXT, "knowledge-base", "The tokens' `aud` claim.")
    users_file: Path | None = _identity(
        p.PATH,
        None,
        "The file of accounts that `gateway user` writes; read again when it changes. This or"
        " `GATEWAY_ADMIN_USERNAME` is needed.",
        example="/etc/gateway/users.json",
    )
    admin_username: str | None = _identity(
        p.NAME,
        None,
        "An admin account without a users file, for a single user; needs a password or its hash.",
        example="admin",
    )
    admin_password: str | None = _identity(
        p.PASSWORD, None, "That admin's password (or give its hash).", secret=True
    )
    admin_password_hash: str | None = _identity(
        p.PASSWORD_HASH,
        None,
        "That admin's argon2id hash (or give the password). A shell needs single quotes round it.",
        secret=True,
    )
    admin_tenant: str = _identity(p.NAME, "main", "That admin's tenant.")

    services_core: tuple[str, ...] = _core(
        p.list_of(
            p.CORE,
            "http:// or https:// addresses, dns+http://name:port or srv+http://name; or grpc",
            at_least=1,
        ),
        None,
        "Base URLs of the LlamaIndex core. dns+http://name:port stands for every address of that"
        " name, srv+http://name for each of its SRV records; both are resolved again at their TTL."
        " grpc:// and grpcs://, also behind dns+ and srv+, ask it over gRPC (extra `[grpc]`).",
        required=True,
        example="http://127.0.0.1:8100",
    )
    core_token: str = _core(
        p.TOKEN, None, "Bearer token the gateway sends to the core.", secret=True, required=True
    )
    core_timeout: float = _core(
        p.duration("50ms", "60s"), "1.5s", "Time limit of a call to the core about documents."
    )
    core_connect_timeout: float = _core(
        p.duration("50ms", "60s"), "2s", "Time limit of connecting to the core."
    )
    core_connections: int = _core(
        p.integer(1, 100_000), "2500", "Connections to the core a worker may have open."
    )

    services_temporal: str = _temporal(
        p.ADDRESS,
        None,
        "Address of the Temporal frontend.",
        required=True,
        example="127.0.0.1:7233",
    )
    temporal_namespace: str = _temporal(p.TEXT, "default", "Temporal namespace.")
    temporal_task_queue: str = _temporal(
        p.TEXT, "documents", "Task queue the core's worker listens on."
    )

    services_opa: str | None = _policy(
        p.URL,
        None,
        "Base URL of an OPA server. Unset: the embedded engine evaluates the policy.",
        example="http://127.0.0.1:8181",
    )
    policy_dir: Path | None = _policy(
        p.DIRECTORY,
        None,
        "Directory with OPA's `bundle.tar.gz`, or Rego, for the embedded engine; unset: our own.",
        example="/etc/gateway/policy",
    )
    policy_ttl: float = _policy(
        p.duration("0s", "60s"), "5s", "How long a decision is cached; 0 asks every time."
    )
    policy_budget: float = _policy(
        p.duration("10ms", "10s"), "250ms", "How long OPA may take, then `POLICY_UNAVAILABLE`."
    )
    policy_cache_entries: int = _policy(
        p.integer(0, 1_000_000), "10000", "Decisions a worker caches."
    )

    s3_endpoint: str | None = _storage(
        p.BARE_URL,
        None,
        "Address at which the gateway reaches the object storage. Unset: AWS.",
        example="http://127.0.0.1:7070",
    )
    s3_public_endpoint: str | None = _storage(
        p.BARE_URL,
        None,
        "Address at which clients reach the object storage; presigned URLs and signatures use it.",
        same_as="s3_endpoint",
        example="https://s3.example.com",
    )
    s3_region: str = _storage(p.REGION, "us-east-1", "Region requests are signed for.")
    s3_bucket: str = _storage(
        p.BUCKET, None, "Bucket of the documents.", required=True, example="documents"
    )
    s3_keys_bucket: str = _storage(
        p.BUCKET,
        None,
        "Bucket of the API keys' hashes. It must differ from the documents' bucket, and the core's"
        " credentials must not open it.",
        required=True,
        example="gateway-keys",
    )
    s3_access_key: str = _storage(
        p.TOKEN, None, "Access key of the documents' bucket.", secret=True, required=True
    )
    s3_secret_key: str = _storage(
        p.TOKEN, None, "Secret key of the documents' bucket.", secret=True, required=True
    )
    s3_keys_access_key: str = _storage(
        p.TOKEN, None, "Access key of the keys' bucket.", secret=True, same_as="s3_access_key"
    )
    s3_keys_secret_key: str = _storage(
        p.TOKEN, None, "Secret key of the keys' bucket.", secret=True, same_as="s3_secret_key"
    )
    io_deadline: float = _storage(
        p.duration("50ms", "60s"),
        "1.5s",
        "Time limit for all object storage and Temporal calls of a request together.",
    )
    keys_cache_ttl: float = _storage(
        p.duration("0s", "5s"),
        "5s",
        "How long a worker caches a key, and a revoked one can work where nobody told it.",
    )
    keys_cache_entries: int = _storage(
        p.integer(0, 1_000_000), "10000", "API keys a worker caches, unknown ones included."
    )
    token_cache_entries: int = _storage(
        p.integer(0, 1_000_000), "10000", "Verified tokens a worker caches, until they expire."
    )

    upload_max_size: int = _uploads(p.size("1B", "5120GiB"), "1GiB", "The largest document.")
    upload_multipart_threshold: int = _uploads(
        p.size("5MiB", "5GiB"), "100MiB", "Documents larger than this are uploaded in parts."
    )
    upload_part_size: int = _uploads(p.size("5MiB", "5GiB"), "16MiB", "Size of an upload's part.")
    upload_form_lifetime: float = _uploads(
        p.duration("1s", "7d"), "15m", "How long a presigned upload can be used."
    )
    upload_types: tuple[str, ...] = _uploads(
        p.list_of(p.MEDIA_TYPE, "media types in lower case", at_least=1),
        ",".join(ALLOWED_TYPES),
        "Content types of documents that may be uploaded.",
    )

    cors_origins: tuple[str, ...] = _browsers(
        p.list_of(p.ORIGIN, "lower-case origins such as https://app.example.com, or *"),
        "",
        "Origins whose pages may call the API and upload to the bucket. Empty: CORS is off.",
        example="https://app.example.com",
    )
    cors_credentials: bool = _browsers(
        p.BOOLEAN, "false", "Whether those pages may send cookies; never together with `*`."
    )
    cors_headers: tuple[str, ...] = _browsers(
        p.list_of(p.HEADER, "names of headers"), "", "More request headers that pages may send."
    )
    compress_min_size: int = _browsers(
        p.size("0B", "1GiB"), "1KiB", "JSON answers smaller than this are not compressed."
    )

    body_limit: int = _limits(p.size("1KiB", "100MiB"), "1MiB", "The largest JSON request body.")
    form_limit: int = _limits(p.size("1KiB", "1MiB"), "64KiB", "The largest multipart form.")
    form_parts: int = _limits(p.integer(4, 1000), "16", "Parts a multipart form may have.")
    answer_limit: int = _limits(
        p.size("1KiB", "1GiB"), "8MiB", "The largest answer of the core that is held in memory."
    )

    connections_limit: int = _limits(
        p.integer(1, 1_000_000),
        "16384",
        "Connections a worker may have open; one more is answered 503 and closed.",
    )
    connections_per_address: int = _limits(
        p.integer(1, 1_000_000),
        "1024",
        "Connections a worker may have open from one client address. Trusted proxies and loopback"
        " are exempt; a request through a trusted proxy counts for the client it names.",
    )
    head_timeout: float = _limits(
        p.duration("100ms", "10m"), "10s", "How long a request's head may take from its first byte."
    )
    body_timeout: float = _limits(
        p.duration("100ms", "10m"),
        "30s",
        "How long a request's body may take once its head is accepted.",
    )
    keep_alive_timeout: float = _limits(
        p.duration("100ms", "1h"), "75s", "How long a connection may stay open between requests."
    )

    stream_early_head: float = _streams(
        p.duration("0s", "60s"),
        "1s",
        "How long the gateway waits for the core's response head before it sends its own; until"
        " then a failure is a plain HTTP status.",
    )
    stream_first_event: float = _streams(
        p.duration("100ms", "1h"), "30s", "How long the core may take to send its first event."
    )
    stream_idle: float = _streams(
        p.duration("100ms", "1h"), "60s", "How long the core may be silent between events."
    )
    stream_total: float = _streams(p.duration("1s", "24h"), "15m", "How long a stream may last.")
    stream_recheck: float = _streams(
        p.duration("1s", "1h"),
        "60s",
        "How often the permission of a running stream is checked again. If the policy does not"
        " answer, the stream may go on until the next check.",
    )
    stream_ping: float = _streams(
        p.duration("50ms", "1h"), "15s", "How often an idle stream gets a comment, a socket a ping."
    )
    stream_client_stall: float = _streams(
        p.duration("100ms", "1h"),
        "30s",
        "How long a client may read nothing of the waiting data before its connection is reset.",
    )
    stream_event_limit: int = _streams(
        p.size("1KiB", "64MiB"), "1MiB", "The largest event; a longer one ends the stream."
    )

    drain_grace: float = _stop(
        p.duration("0s", "10m"),
        "5s",
        "After the signal to stop: how long the gateway still serves everything while it reports"
        " not ready. At least the time load balancers need to notice.",
    )
    drain_limit: float = _stop(
        p.duration("0s", "1h"),
        "25s",
        "How long running requests and streams may go on after the signal to stop, the grace"
        " included; then streams end with `DRAINING`.",
    )
    shutdown_grace: float = _stop(
        p.duration("100ms", "5m"), "5s", "How long a worker may take to exit after it has drained."
    )

    sentry_dsn: str | None = _reports(
        p.DSN, None, "Sentry project to which the gateway reports internal errors.", secret=True
    )
    sentry_environment: str = _reports(
        p.TEXT, "production", "Name of the environment in these reports."
    )
    otlp_endpoint: str | None = _reports(
        p.URL,
        None,
        "Base URL of the OpenTelemetry collector (OTLP over HTTP) that gets the traces; needs the"
        " extra `[otel]`. Unset: no traces.",
        example="http://collector:4318",
    )
    otlp_sample: float = _reports(
        p.SHARE, "0.1", "The share of requests whose trace is sent to the collector."
    )
    log_level: str = _reports(
        p.choice("debug", "info", "warning", "error"), "info", "The lowest level that is logged."
    )
    log_format: str = _reports(
        p.choice("auto", "json", "console"),
        "auto",
        "JSON lines or readable text; `auto` is text when stderr is a terminal.",
    )

    @property
    def jwt_secrets(self) -> tuple[bytes, ...]:
        """The keys that verify tokens; the first one also signs them."""
        both = (self.jwt_secret, self.jwt_secret_previous)
        return tuple(secret for secret in both if secret is not None)

    @classmethod
    def load(cls, environ: Mapping[str, str], config_file: Path | None = None) -> Settings:
        """Settings from the environment, then a TOML file, then the defaults.

        Args:
            environ: the whole environment; names that do not start with ``GATEWAY_`` are ignored.
            config_file: the TOML file; ``GATEWAY_CONFIG_FILE`` names it when this is ``None``.

        Raises:
            SettingsError: with all faults.
        """
        reading = read(SPECS, environ, config_file)
        if reading.faults:
            raise SettingsError(reading.faults)
        return cls(**reading.values)

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={'***' if spec.secret and value is not None else repr(value)}"
            for name, spec in SPECS.items()
            for value in [getattr(self, name)]
        )
        return f"Settings({shown})"


SPECS: Mapping[str, Spec] = specs_of(Settings)
