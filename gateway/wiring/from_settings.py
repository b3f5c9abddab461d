"""The values that adapters and flows are made with, worked out of the settings."""

from __future__ import annotations

from dataclasses import replace

from gateway.adapters.core_calls import CoreTimeouts
from gateway.adapters.s3_client import S3Access
from gateway.adapters.temporal import TemporalAccess
from gateway.domain.documents import ALLOWED_TYPES, UploadRules
from gateway.domain.key_checksums import KeyChecksums
from gateway.domain.limits import Penalty, Rate
from gateway.domain.stream_state import StreamLimits
from gateway.domain.tokens import TokenSettings
from gateway.flows.login_delays import DelayRules
from gateway.settings import Settings


def core_timeouts(settings: Settings) -> CoreTimeouts:
    return CoreTimeouts(connect_s=settings.core_connect_timeout, call_s=settings.core_timeout)


def temporal_access(settings: Settings) -> TemporalAccess:
    return TemporalAccess(
        settings.services_temporal,
        settings.temporal_namespace,
        settings.temporal_task_queue,
        retry_budget_s=settings.io_deadline,
        tls=settings.tls_files("temporal") if settings.temporal_tls else None,
    )


def documents_access(settings: Settings) -> S3Access:
    return S3Access(
        settings.s3_endpoint,
        settings.s3_region,
        settings.s3_access_key,
        settings.s3_secret_key,
        timeout_s=settings.io_deadline,
        tls=settings.tls_files("s3"),
    )


def keys_access(settings: Settings) -> S3Access:
    return replace(
        documents_access(settings),
        access_key=settings.s3_keys_access_key,
        secret_key=settings.s3_keys_secret_key,
    )


def revocations_access(settings: Settings) -> S3Access:
    """A few threads: one reads the list, the others write for those who log out."""
    return replace(keys_access(settings), threads=4)


def people_access(settings: Settings) -> S3Access:
    """A few threads: each writes a record when somebody signs in, or reads one for a key."""
    return replace(keys_access(settings), threads=4)


def public_access(settings: Settings) -> S3Access:
    return S3Access(
        settings.s3_public_endpoint,
        settings.s3_region,
        settings.s3_access_key,
        settings.s3_secret_key,
        timeout_s=settings.io_deadline,
    )


def upload_rules(settings: Settings) -> UploadRules:
    """What may be uploaded, and the extensions that go with each allowed type."""
    return UploadRules(
        types={name: ALLOWED_TYPES.get(name, frozenset()) for name in settings.upload_types},
        limit_bytes=settings.upload_max_size,
        multipart_threshold_bytes=settings.upload_multipart_threshold,
        part_bytes=settings.upload_part_size,
        form_lifetime_s=int(settings.upload_form_lifetime),
    )


def stream_limits(settings: Settings) -> StreamLimits:
    return StreamLimits(
        first_event_s=settings.stream_first_event,
        idle_s=settings.stream_idle,
        total_s=settings.stream_total,
        early_head_s=settings.stream_early_head,
        ping_s=settings.stream_ping,
        event_limit_bytes=settings.stream_event_limit,
    )


def token_settings(settings: Settings) -> TokenSettings:
    return TokenSettings(
        secrets=settings.jwt_secrets,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        lifetime_s=int(settings.jwt_expiration),
        skew_s=int(settings.jwt_skew),
    )


def delay_rules(settings: Settings) -> DelayRules:
    """What failed logins cost."""
    times = (settings.login_first_delay, settings.login_longest_delay, settings.login_memory)
    return DelayRules(
        account=Penalty(settings.login_free_failures, *times),
        address=Penalty(settings.login_address_free_failures, *times),
        known_s=settings.login_known_addresses,
    )


def key_checksums(settings: Settings) -> KeyChecksums:
    return KeyChecksums(settings.jwt_secrets, settings.keys_secrets)


def unknown_key_rate(settings: Settings) -> Rate:
    """For each client address; a moment's burst is what some clients behind one proxy need."""
    return Rate(settings.keys_unknown_rate, 1.0, burst=4 * settings.keys_unknown_rate)
