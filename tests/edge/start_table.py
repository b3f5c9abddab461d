"""Settings and files with which a gateway starts, and many with which it must not.

A case is what differs from settings that are good, without the prefix; an empty text leaves a
setting out, and bytes become a file that the setting names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from gateway.adapters.argon2_passwords import hash_password
from tests.certificates import Authority

from .fakes import PASSWORD

Case = Mapping[str, str | bytes]
HASH = hash_password(PASSWORD)
BOM = b"\xef\xbb\xbf"
SECRET = b"a secret of the table, forty bytes long."

GOOD_SETTINGS = {
    "JWT_SECRET": SECRET.decode(),
    "ADMIN_USERNAME": "root",
    "ADMIN_PASSWORD": PASSWORD,
    "CORE_TOKEN": "core-token",
    "SERVICES_CORE": "http://127.0.0.1:1",
    "SERVICES_TEMPORAL": "127.0.0.1:1",
    "S3_ENDPOINT": "http://127.0.0.1:1",
    "S3_BUCKET": "documents",
    "S3_KEYS_BUCKET": "gateway-keys",
    "S3_ACCESS_KEY": "access",
    "S3_SECRET_KEY": "secret",
    "ADMIN_LISTEN_PORT": "0",
}


def users(name: str = "alice", **changed: object) -> bytes:
    """A users file of one account."""
    entry: dict[str, object] = {"tenant": "acme", "roles": ["reader"], "password_hash": HASH}
    entry["password_changed_at"] = "2026-01-01T00:00:00Z"
    return json.dumps({"version": 1, "users": {name: entry | changed}}).encode()


def without(path: Path, *, lines: int) -> bytes:
    """A file's bytes, its last lines cut off."""
    return b"\n".join(path.read_bytes().splitlines()[:-lines])


GOOD: dict[str, Case] = {
    "as it is": {},
    "users": {"USERS_FILE": users(), "ADMIN_USERNAME": "", "ADMIN_PASSWORD": ""},
    "users and the admin": {"USERS_FILE": users()},
    "users with a BOM": {"USERS_FILE": BOM + users()},
    "a secret's file": {"JWT_SECRET": "", "JWT_SECRET_FILE": SECRET + b"\n"},
    "a secret's file with a BOM": {"JWT_SECRET": "", "JWT_SECRET_FILE": BOM + SECRET},
    "a token's file with a BOM": {"CORE_TOKEN": "", "CORE_TOKEN_FILE": BOM + b"core-token\r\n"},
    "a TOML file with a BOM": {"CONFIG_FILE": BOM + b'stream_ping = "5s"\n'},
    "a host in brackets": {"SERVER_HOST": "[::1]"},
    "the admin's host in brackets": {"ADMIN_LISTEN_HOST": "[::1]", "ADMIN_LISTEN_PORT": "{free}"},
    "a gRPC listener": {"GRPC_PORT": "{free}"},
    "any address": {"SERVER_HOST": "0.0.0.0"},
    "a name": {"SERVER_HOST": "localhost"},
    "Temporal by IPv6": {"SERVICES_TEMPORAL": "[::1]:7233"},
    "a core's other names": {"SERVICES_CORE": "dns+http://core_1.internal,http://[::1]:1"},
    "Sentry": {"SENTRY_DSN": "https://public@sentry.invalid/1"},
    "an origin with its port": {"CORS_ORIGINS": "https://app.example.com:443"},
}

# The name of the setting that must be told, in front of each case.
FAULTY: dict[str, tuple[str, Case]] = {
    "no secret": ("JWT_SECRET", {"JWT_SECRET": ""}),
    "a short secret": ("JWT_SECRET", {"JWT_SECRET": "short"}),
    "a secret and its file": ("JWT_SECRET", {"JWT_SECRET_FILE": SECRET}),
    "a secret's file missing": ("JWT_SECRET_FILE", {"JWT_SECRET": "", "JWT_SECRET_FILE": "/no/f"}),
    "a secret's file, a folder": ("JWT_SECRET_FILE", {"JWT_SECRET": "", "JWT_SECRET_FILE": "/"}),
    "a secret's file, empty": ("JWT_SECRET_FILE", {"JWT_SECRET": "", "JWT_SECRET_FILE": b"\n"}),
    "a secret's file, a BOM alone": ("JWT_SECRET_FILE", {"JWT_SECRET": "", "JWT_SECRET_FILE": BOM}),
    "a secret's file in UTF-16": (
        "CORE_TOKEN_FILE",
        {"CORE_TOKEN": "", "CORE_TOKEN_FILE": "core-token".encode("utf-16")},
    ),
    "a secret's file with NUL": ("CORE_TOKEN_FILE", {"CORE_TOKEN": "", "CORE_TOKEN_FILE": b"a\0b"}),
    "a secret's file too large": (
        "CORE_TOKEN_FILE",
        {"CORE_TOKEN": "", "CORE_TOKEN_FILE": b"x" * 70_000},
    ),
    "the same secret twice": ("JWT_SECRET_PREVIOUS", {"JWT_SECRET_PREVIOUS": SECRET.decode()}),
    "a token with a blank": ("CORE_TOKEN", {"CORE_TOKEN": "core token"}),
    "users missing": ("USERS_FILE", {"USERS_FILE": "/nowhere/users.json"}),
    "users, a folder": ("USERS_FILE", {"USERS_FILE": "/"}),
    "users, empty": ("USERS_FILE", {"USERS_FILE": b""}),
    "users, not JSON": ("USERS_FILE", {"USERS_FILE": b"alice: reader"}),
    "users, half of it": ("USERS_FILE", {"USERS_FILE": users()[:-3]}),
    "users in UTF-16": ("USERS_FILE", {"USERS_FILE": users().decode().encode("utf-16")}),
    "users in Latin-1": ("USERS_FILE", {"USERS_FILE": '{"é": 1}'.encode("latin-1")}),
    "users, a list": ("USERS_FILE", {"USERS_FILE": b"[]"}),
    "users, another version": ("USERS_FILE", {"USERS_FILE": b'{"version": 2, "users": {}}'}),
    "users, too deep": ("USERS_FILE", {"USERS_FILE": b"[" * 100_000}),
    "users, a long number": ("USERS_FILE", {"USERS_FILE": b"1" * 5_000}),
    "users, one twice": (
        "USERS_FILE",
        {"USERS_FILE": b'{"version": 1, "users": {"a": {}, "a": {}}}'},
    ),
    "users, a bad name": ("USERS_FILE", {"USERS_FILE": users("Alice Smith")}),
    "users, half a character": ("USERS_FILE", {"USERS_FILE": users("\ud800")}),
    "users, a bad tenant": ("USERS_FILE", {"USERS_FILE": users(tenant="A/B")}),
    "users, a bad role": ("USERS_FILE", {"USERS_FILE": users(roles=["Reader!"])}),
    "users, a bad hash": ("USERS_FILE", {"USERS_FILE": users(password_hash="secret")}),
    "users, a bad time": ("USERS_FILE", {"USERS_FILE": users(password_changed_at="yesterday")}),
    "users, no time zone": (
        "USERS_FILE",
        {"USERS_FILE": users(password_changed_at="2026-01-01T00:00:00")},
    ),
    "users, a field too many": ("USERS_FILE", {"USERS_FILE": users(colour="red")}),
    "users, the admin among them": ("USERS_FILE", {"USERS_FILE": users("root")}),
    "nobody to log in": ("USERS_FILE", {"ADMIN_USERNAME": "", "ADMIN_PASSWORD": ""}),
    "an admin without a password": ("ADMIN_PASSWORD", {"ADMIN_PASSWORD": ""}),
    "an admin's short password": ("ADMIN_PASSWORD", {"ADMIN_PASSWORD": "short"}),
    "an admin's name": ("ADMIN_USERNAME", {"ADMIN_USERNAME": "Root User"}),
    "an admin's weak hash": (
        "ADMIN_PASSWORD_HASH",
        {
            "ADMIN_PASSWORD": "",
            "ADMIN_PASSWORD_HASH": "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
        },
    ),
    "an admin's broken hash": (
        "ADMIN_PASSWORD_HASH",
        {"ADMIN_PASSWORD": "", "ADMIN_PASSWORD_HASH": "$argon2id$v=19$$$"},
    ),
    "TOML missing": ("CONFIG_FILE", {"CONFIG_FILE": "/nowhere/dev.toml"}),
    "TOML, a folder": ("CONFIG_FILE", {"CONFIG_FILE": "/"}),
    "TOML in UTF-16": ("CONFIG_FILE", {"CONFIG_FILE": 'log_level = "info"'.encode("utf-16")}),
    "no TOML": ("CONFIG_FILE", {"CONFIG_FILE": b"log_level: info"}),
    "TOML, too deep": ("CONFIG_FILE", {"CONFIG_FILE": b"a = " + b"[" * 100_000}),
    "TOML, a long number": ("CONFIG_FILE", {"CONFIG_FILE": b"server_port = " + b"1" * 5_000}),
    "TOML, a name unknown": ("SERVER_PROT", {"CONFIG_FILE": b"server_prot = 1"}),
    "TOML, a NUL in a path": ("USERS_FILE", {"CONFIG_FILE": b'users_file = "a\\u0000b"'}),
    "a name unknown": ("SERVER_PROT", {"SERVER_PROT": "1"}),
    "a port": ("SERVER_PORT", {"SERVER_PORT": "http"}),
    "a port too large": ("SERVER_PORT", {"SERVER_PORT": "65536"}),
    "half a character": ("LOG_LEVEL", {"LOG_LEVEL": "\udcff"}),
    "half a character in a name": (r"LOG_LEVE\udcff", {"LOG_LEVE\udcff": "info"}),
    "a line feed in a name": (r"LOG_LEVE\nL", {"LOG_LEVE\nL": "info"}),
    "half a character in a path": ("USERS_FILE", {"USERS_FILE": "/nowhere/\udcff.json"}),
    "half a character in TOML's path": ("CONFIG_FILE", {"CONFIG_FILE": "/nowhere/\udcff.toml"}),
    "half a character in a CA's path": ("S3_CA_FILE", {"S3_CA_FILE": "/nowhere/\udcff.pem"}),
    "no worker": ("SERVER_WORKERS", {"SERVER_WORKERS": "0"}),
    "an address of others": ("SERVER_HOST", {"SERVER_HOST": "192.0.2.1"}),
    "no address": ("SERVER_HOST", {"SERVER_HOST": "999.1.1.1"}),
    "no IPv6 address": ("SERVER_HOST", {"SERVER_HOST": "[::1::]"}),
    "an address and port": ("SERVER_HOST", {"SERVER_HOST": "127.0.0.1:80"}),
    "an unknown name": ("SERVER_HOST", {"SERVER_HOST": "nowhere.invalid"}),
    "a name with two dots": ("SERVER_HOST", {"SERVER_HOST": "a..b"}),
    "a name too long": ("SERVER_HOST", {"SERVER_HOST": "a" * 64}),
    "an admin listener elsewhere": (
        "ADMIN_LISTEN_HOST",
        {"ADMIN_LISTEN_HOST": "192.0.2.1", "ADMIN_LISTEN_PORT": "{free}"},
    ),
    "an admin listener nowhere": (
        "ADMIN_LISTEN_HOST",
        {"ADMIN_LISTEN_HOST": "nowhere.invalid", "ADMIN_LISTEN_PORT": "{free}"},
    ),
    "both listeners at one": ("ADMIN_LISTEN_PORT", {"ADMIN_LISTEN_PORT": "{port}"}),
    "a gRPC listener at another's port": ("GRPC_PORT", {"GRPC_PORT": "{port}"}),
    "no core": ("SERVICES_CORE", {"SERVICES_CORE": ""}),
    "a core without a scheme": ("SERVICES_CORE", {"SERVICES_CORE": "core:8100"}),
    "a core's name": ("SERVICES_CORE", {"SERVICES_CORE": "http://a..b:1"}),
    "a Temporal without a port": ("SERVICES_TEMPORAL", {"SERVICES_TEMPORAL": "temporal"}),
    "a Temporal's address": ("SERVICES_TEMPORAL", {"SERVICES_TEMPORAL": "[::1::]:7233"}),
    "a policy's folder missing": ("POLICY_DIR", {"POLICY_DIR": "/nowhere"}),
    "a region with a blank": ("S3_REGION", {"S3_REGION": "us east"}),
    "a region with a dot": ("S3_REGION", {"S3_REGION": "eu.west"}),
    "a store's name with _": ("S3_ENDPOINT", {"S3_ENDPOINT": "http://object_store:1"}),
    "a store with a path": ("S3_ENDPOINT", {"S3_ENDPOINT": "http://127.0.0.1:1/bucket"}),
    "a store's public name with _": (
        "S3_PUBLIC_ENDPOINT",
        {"S3_PUBLIC_ENDPOINT": "http://object_store:1"},
    ),
    "one bucket for both": ("S3_KEYS_BUCKET", {"S3_KEYS_BUCKET": "documents"}),
    "Sentry without a number": ("SENTRY_DSN", {"SENTRY_DSN": "https://k@sentry.invalid/project"}),
    "Sentry's port": ("SENTRY_DSN", {"SENTRY_DSN": "https://k@sentry.invalid:99999/1"}),
    "an origin with a path": ("CORS_ORIGINS", {"CORS_ORIGINS": "https://app.example.com/"}),
    "every origin with cookies": (
        "CORS_CREDENTIALS",
        {"CORS_ORIGINS": "*", "CORS_CREDENTIALS": "true"},
    ),
    "a network with host bits": ("TRUSTED_PROXIES", {"TRUSTED_PROXIES": "10.0.0.1/8"}),
    "a time limit above the total": ("STREAM_IDLE", {"STREAM_TOTAL": "40s"}),
}


def faulty_certificates(authority: Authority) -> dict[str, tuple[str, Case]]:
    """The same for files that have to be made."""
    pair, other = authority.issue(), authority.issue("other")
    locked = authority.issue("locked", passphrase=b"open sesame")
    tls = {"TLS_CERT_FILE": str(pair.cert), "TLS_KEY_FILE": str(pair.key)}
    core = {"SERVICES_CORE": "https://127.0.0.1:1"}
    half = authority.ca.read_bytes() + without(pair.cert, lines=1)
    return {
        "a certificate without a key": ("TLS_KEY_FILE", {"TLS_CERT_FILE": str(pair.cert)}),
        "another's key": ("TLS_KEY_FILE", {**tls, "TLS_KEY_FILE": str(other.key)}),
        "a key with a passphrase": (
            "TLS_KEY_FILE",
            {"TLS_CERT_FILE": str(locked.cert), "TLS_KEY_FILE": str(locked.key)},
        ),
        "a certificate missing": ("TLS_CERT_FILE", {**tls, "TLS_CERT_FILE": "/nowhere/tls.crt"}),
        "authorities missing": ("CORE_CA_FILE", {**core, "CORE_CA_FILE": "/nowhere/ca.crt"}),
        "authorities, not PEM": ("CORE_CA_FILE", {**core, "CORE_CA_FILE": b"no certificate"}),
        "authorities in UTF-16": (
            "CORE_CA_FILE",
            {**core, "CORE_CA_FILE": authority.ca.read_text().encode("utf-16")},
        ),
        "half a certificate": ("TLS_CLIENT_CA_FILE", {**tls, "TLS_CLIENT_CA_FILE": half}),
        "authorities that nobody asks": ("SERVICES_CORE", {"CORE_CA_FILE": str(authority.ca)}),
    }
