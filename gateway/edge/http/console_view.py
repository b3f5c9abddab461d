"""What the console's page is told of the settings: where it may send things, how one signs in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from gateway.domain.own_pages import origin_of
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class ConsoleView:
    """Attributes:
    store_origins: where documents are uploaded to and read from, as browsers write origins.
    company_sign_in: whether browsers sign in at the company's provider.
    """

    store_origins: tuple[str, ...]
    company_sign_in: bool

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """``None`` where there is no console."""
        if not settings.serves_console:
            return None
        return cls(store_origins(settings), settings.signs_in_browsers)


def store_origins(settings: Settings) -> tuple[str, ...]:
    """Where clients reach the documents' bucket.

    Of AWS all that a presigned address can begin with: by bucket or by path, by region or without,
    which depends on the region and on the bucket's name.
    """
    endpoint = settings.s3_public_endpoint or settings.s3_endpoint
    if endpoint is not None:
        return (origin_of(endpoint),)
    domain = "amazonaws.com.cn" if settings.s3_region.startswith("cn-") else "amazonaws.com"
    hosts = (f"s3.{settings.s3_region}.{domain}", f"s3.{domain}")
    return tuple(
        f"https://{prefix}{host}" for prefix in ("", f"{settings.s3_bucket}.") for host in hosts
    )
