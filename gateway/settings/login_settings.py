"""The settings of logging in, of delays after failed logins, and of keys that nobody has seen."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings import parsers as p
from gateway.settings.spec import group
from gateway.settings.usage_settings import UsageSettings

_login = group("Failed logins and unknown keys")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LoginSettings(UsageSettings):
    """Part of ``Settings``: what guessing costs."""

    login_waiting: int = _login(
        p.integer(0, 1000),
        "16",
        "Logins that may wait in a worker, as all workers together hash one password at a time;"
        " client addresses take turns, and one more is answered 503.",
    )
    login_free_failures: int = _login(
        p.integer(0, 1000),
        "5",
        "Failed logins of an account, known or not, that cost no delay; the next one costs"
        " `GATEWAY_LOGIN_FIRST_DELAY`, each further one twice as long.",
    )
    login_address_free_failures: int = _login(
        p.integer(0, 100_000),
        "20",
        "The same for all failed logins from one client address (IPv6: one /64).",
    )
    login_first_delay: float = _login(
        p.duration("100ms", "1h"), "1s", "The delay after the first failed login that is not free."
    )
    login_longest_delay: float = _login(
        p.duration("0s", "24h"),
        "5m",
        "The longest delay after failed logins, and so the longest that others can keep an owner"
        " from logging in at an address where he never did before. 0 turns all delays off.",
    )
    login_memory: float = _login(
        p.duration("1s", "7d"), "1h", "When failed logins are forgotten, after the last of them."
    )
    login_known_addresses: float = _login(
        p.duration("0s", "365d"),
        "30d",
        "How long after a login its address is known for its account: there others' failures cause"
        " no delay. 0: no address is.",
    )
    keys_secret: bytes | None = _login(
        p.JWT_SECRET,
        None,
        "Key of the checksum in new API keys, the same on every replica: made-up keys of that form"
        " are refused without a look-up. It opens nothing. Unset: it is derived from"
        " `GATEWAY_JWT_SECRET`, and keys made before that was rotated are looked up as unknown"
        " ones.",
        secret=True,
    )
    keys_secret_previous: bytes | None = _login(
        p.JWT_SECRET,
        None,
        "The previous key of the checksum, for as long as API keys made with it are in use; without"
        " it they are refused.",
        secret=True,
    )
    keys_unknown_rate: int = _login(
        p.integer(1, 100_000),
        "10",
        "Look-ups a second for API keys that a worker has not let in yet and whose checksum proves"
        " nothing, per client address (IPv6: one /64) in a replica; four times as many at once."
        " More are answered 429.",
    )
    keys_unknown_in_flight: int = _login(
        p.integer(1, 1000),
        "8",
        "How many of these look-ups a worker has under way at once. Below the 16 connections that a"
        " worker has to the keys' bucket, so that known keys always find one free.",
    )

    @property
    def keys_secrets(self) -> tuple[bytes, ...]:
        """The keys of the checksum; the first one makes it."""
        both = (self.keys_secret, self.keys_secret_previous)
        return tuple(secret for secret in both if secret is not None)
