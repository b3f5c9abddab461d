"""Rules about several settings. Each looks only at values that were read without a fault."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.settings.answer_settings import answer_faults
from gateway.settings.core_addresses import core_faults
from gateway.settings.faults import Fault
from gateway.settings.grpc_settings import grpc_faults
from gateway.settings.oidc_settings import oidc_faults
from gateway.settings.redis_settings import redis_faults
from gateway.settings.sign_in_settings import sign_in_faults
from gateway.settings.tls_settings import certificate_faults

Values = Mapping[str, Any]
MULTIPART_MAX_PARTS = 10_000


def cross_check(values: Values) -> Iterator[Fault]:
    for rule in _RULES:
        yield from rule(values)


def _buckets_differ(values: Values) -> Iterator[Fault]:
    bucket = values.get("s3_bucket")
    if bucket is not None and bucket == values.get("s3_keys_bucket"):
        expected = "another bucket than GATEWAY_S3_BUCKET: the core must not reach the keys"
        yield Fault("GATEWAY_S3_KEYS_BUCKET", bucket, expected)


def _keys_credentials_come_in_pairs(values: Values) -> Iterator[Fault]:
    pair = [values.get("s3_keys_access_key"), values.get("s3_keys_secret_key")]
    documents = [values.get("s3_access_key"), values.get("s3_secret_key")]
    if None in pair + documents:
        return
    if (pair[0] == documents[0]) != (pair[1] == documents[1]):
        name = "GATEWAY_S3_KEYS_ACCESS_KEY"
        yield Fault(name, None, "to be set together with GATEWAY_S3_KEYS_SECRET_KEY, or neither")


def _somebody_can_log_in(values: Values) -> Iterator[Fault]:
    ways = ("users_file", "admin_username", "oidc_issuer")
    if values.keys() >= set(ways) and not any(values[way] for way in ways):
        expected = "to be set, or GATEWAY_ADMIN_USERNAME: nobody could log in"
        yield Fault("GATEWAY_USERS_FILE", None, expected)


def _admin_has_one_password(values: Values) -> Iterator[Fault]:
    if not {"admin_username", "admin_password", "admin_password_hash"} <= values.keys():
        return
    given = [name for name in ("admin_password", "admin_password_hash") if values[name]]
    if values["admin_username"] and not given:
        expected = "to be set, or GATEWAY_ADMIN_PASSWORD_HASH, for the admin's login"
        yield Fault("GATEWAY_ADMIN_PASSWORD", None, expected)
    if len(given) == 2:
        expected = "either it or GATEWAY_ADMIN_PASSWORD_HASH, not both"
        yield Fault("GATEWAY_ADMIN_PASSWORD", None, expected)
    if given and not values["admin_username"]:
        expected = "to be set, as the admin's password is"
        yield Fault("GATEWAY_ADMIN_USERNAME", None, expected)


def _jwt_secrets_differ(values: Values) -> Iterator[Fault]:
    previous = values.get("jwt_secret_previous")
    if previous is not None and previous == values.get("jwt_secret"):
        expected = "another secret than GATEWAY_JWT_SECRET"
        yield Fault("GATEWAY_JWT_SECRET_PREVIOUS", None, expected)


def _keys_secrets_differ(values: Values) -> Iterator[Fault]:
    secret, previous = values.get("keys_secret"), values.get("keys_secret_previous")
    if previous is not None and previous == secret:
        yield Fault("GATEWAY_KEYS_SECRET_PREVIOUS", None, "another secret than GATEWAY_KEYS_SECRET")
    if previous is not None and "keys_secret" in values and secret is None:
        expected = "to be set, as GATEWAY_KEYS_SECRET_PREVIOUS is"
        yield Fault("GATEWAY_KEYS_SECRET", None, expected)


def _credentials_need_listed_origins(values: Values) -> Iterator[Fault]:
    origins = values.get("cors_origins") or ()
    if "*" in origins and values.get("cors_credentials"):
        expected = "false while GATEWAY_CORS_ORIGINS is *"
        yield Fault("GATEWAY_CORS_CREDENTIALS", "true", expected)
    if "*" in origins and len(origins) > 1:
        yield Fault("GATEWAY_CORS_ORIGINS", ",".join(origins), "* alone, or origins without it")


def _listeners_differ(values: Values) -> Iterator[Fault]:
    port = values.get("admin_port")
    hosts = {values.get("server_host"), values.get("admin_host")}
    shared = len(hosts) == 1 or not hosts.isdisjoint({"0.0.0.0", "::"})
    if port and shared and port == values.get("server_port"):
        expected = "another port than GATEWAY_SERVER_PORT"
        yield Fault("GATEWAY_ADMIN_LISTEN_PORT", str(port), expected)


def _parts_are_enough(values: Values) -> Iterator[Fault]:
    """S3 allows at most 10,000 parts."""
    part, largest = values.get("upload_part_size"), values.get("upload_max_size")
    if part and largest and part * MULTIPART_MAX_PARTS < largest:
        expected = "at least a 10,000th of GATEWAY_UPLOAD_MAX_SIZE"
        yield Fault("GATEWAY_UPLOAD_PART_SIZE", str(part), expected)


def _stream_limits_fit_into_the_total(values: Values) -> Iterator[Fault]:
    total = values.get("stream_total")
    for name in ("stream_first_event", "stream_idle"):
        limit = values.get(name)
        if total is not None and limit is not None and limit > total:
            expected = "at most GATEWAY_STREAM_TOTAL"
            yield Fault(f"GATEWAY_{name.upper()}", f"{limit:g}s", expected)


def _tracing_is_installed(values: Values) -> Iterator[Fault]:
    if values.get("otlp_endpoint") and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
        expected = "the extra: pip install 'knowledge-base-gateway[otel]'"
        yield Fault("GATEWAY_OTLP_ENDPOINT", str(values["otlp_endpoint"]), expected)


def _redis_is_installed(values: Values) -> Iterator[Fault]:
    if values.get("redis_url") and not _is_installed("redis.asyncio"):
        expected = "the extra: pip install 'knowledge-base-gateway[redis]'"
        yield Fault("GATEWAY_REDIS_URL", None, expected)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


_RULES: tuple[Callable[[Values], Iterator[Fault]], ...] = (
    _buckets_differ,
    _keys_credentials_come_in_pairs,
    _somebody_can_log_in,
    _admin_has_one_password,
    _jwt_secrets_differ,
    _keys_secrets_differ,
    _credentials_need_listed_origins,
    _listeners_differ,
    _parts_are_enough,
    _stream_limits_fit_into_the_total,
    _tracing_is_installed,
    _redis_is_installed,
    grpc_faults,
    core_faults,
    redis_faults,
    oidc_faults,
    sign_in_faults,
    answer_faults,
    certificate_faults,
)
