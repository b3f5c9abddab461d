"""Where Temporal and the object storage are, and with what they are spoken to, by the settings."""

from __future__ import annotations

from dataclasses import replace

from gateway.adapters.s3_client import S3Access
from gateway.adapters.temporal import TemporalAccess
from gateway.settings import Settings


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


def public_access(settings: Settings) -> S3Access:
    return S3Access(
        settings.s3_public_endpoint,
        settings.s3_region,
        settings.s3_access_key,
        settings.s3_secret_key,
        timeout_s=settings.io_deadline,
    )
