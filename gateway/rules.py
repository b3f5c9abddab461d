"""What the settings make of the domain's rules."""

from __future__ import annotations

from gateway.domain.documents import ALLOWED_TYPES, UploadRules
from gateway.domain.stream_state import StreamLimits
from gateway.domain.tokens import TokenSettings
from gateway.settings import Settings


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
