"""Settings: where values come from, what is accepted, and that every fault is told at once."""

from __future__ import annotations

import base64
import ipaddress
import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings import SPECS, Fault, Settings, SettingsError, read
from gateway.settings.parsers import bytes_of, seconds_of

from ..valid_settings import REQUIRED, SECRET, load


def faults(config_file: Path | None = None, **more: str) -> dict[str, Fault]:
    with pytest.raises(SettingsError) as caught:
        load(config_file, **more)
    return {fault.name: fault for fault in caught.value.faults}


# --- Where a value comes from ------------------------------------------------------------------


def test_defaults_are_those_of_the_documentation() -> None:
    """What nobody sets has the documented value, in seconds and bytes."""
    settings = load()
    assert settings.server_host == "127.0.0.1"
    assert settings.server_port == 8080
    assert settings.jwt_expiration == 24 * 3600
    assert settings.policy_budget == 0.25
    assert settings.upload_max_size == 1024**3
    assert settings.cors_origins == ()
    assert settings.services_opa is None
    assert len(settings.upload_types) == 5


def test_environment_wins_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    """Environment first, then the TOML file, then the default."""
    config = tmp_path / "dev.toml"
    config.write_text('server_port = 1111\nserver_host = "0.0.0.0"\n')
    settings = load(config, GATEWAY_SERVER_PORT="2222")
    assert (settings.server_port, settings.server_host) == (2222, "0.0.0.0")
    assert settings.server_workers == 1


def test_file_takes_tables_lists_and_toml_types(tmp_path: Path) -> None:
    """``[cors] credentials = true`` is ``cors_credentials``; a list is a list."""
    config = tmp_path / "dev.toml"
    config.write_text(
        'stream_ping = 2.5\n[cors]\ncredentials = true\norigins = ["https://a.io", "https://b.io"]'
    )
    settings = load(config)
    assert settings.cors_credentials is True
    assert settings.cors_origins == ("https://a.io", "https://b.io")
    assert settings.stream_ping == 2.5


def test_config_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    """``GATEWAY_CONFIG_FILE`` names the file where no option does."""
    config = tmp_path / "dev.toml"
    config.write_text("server_port = 1111")
    assert load(GATEWAY_CONFIG_FILE=str(config)).server_port == 1111


def test_variable_set_to_nothing_counts_as_unset() -> None:
    """Compose files leave a variable out by giving it no value."""
    assert load(GATEWAY_SERVER_PORT="", GATEWAY_SERVICES_OPA="  ").server_port == 8080
    assert "GATEWAY_CORE_TOKEN" in faults(GATEWAY_CORE_TOKEN="")


def test_secret_from_a_file_loses_its_last_newline_only(tmp_path: Path) -> None:
    """``echo secret > file`` gives the secret; what is inside it stays."""
    file = tmp_path / "token"
    file.write_text("the-token\n")
    settings = load(GATEWAY_CORE_TOKEN="", GATEWAY_CORE_TOKEN_FILE=str(file))
    assert settings.core_token == "the-token"


def test_empty_secret_file_counts_as_unset_where_nothing_takes_its_place(tmp_path: Path) -> None:
    """A gateway that runs has the file's name for good: emptied, it takes the old secret away."""
    file = tmp_path / "previous"
    file.write_text("\n")
    assert load(GATEWAY_JWT_SECRET_PREVIOUS_FILE=str(file)).jwt_secret_previous is None
    assert "GATEWAY_CORE_TOKEN_FILE" in faults(
        GATEWAY_CORE_TOKEN="", GATEWAY_CORE_TOKEN_FILE=str(file)
    )
    # The documents' credentials would be taken instead.
    assert "GATEWAY_S3_KEYS_SECRET_KEY_FILE" in faults(
        GATEWAY_S3_KEYS_ACCESS_KEY="keys", GATEWAY_S3_KEYS_SECRET_KEY_FILE=str(file)
    )


def test_secret_in_the_environment_loses_its_last_newline_only() -> None:
    """A Kubernetes secret made with ``echo`` has one; blanks may be meant."""
    assert load(GATEWAY_JWT_SECRET=SECRET + " \n").jwt_secret == SECRET.encode() + b" "


def test_secret_in_the_environment_wins_over_a_file_named_in_toml(tmp_path: Path) -> None:
    """Each source has a secret once, in either way; the sources keep their order."""
    config = tmp_path / "dev.toml"
    config.write_text('core_token_file = "/nowhere"')
    assert load(config).core_token == REQUIRED["GATEWAY_CORE_TOKEN"]


def test_keys_bucket_credentials_default_to_the_documents_buckets() -> None:
    """One pair of credentials is enough to start with."""
    settings = load()
    assert settings.s3_keys_access_key == settings.s3_access_key
    assert settings.s3_keys_secret_key == settings.s3_secret_key


def test_public_endpoint_defaults_to_the_endpoint() -> None:
    """Where clients and gateway reach the storage alike, one address is enough."""
    settings = load(GATEWAY_S3_ENDPOINT="http://127.0.0.1:7070/")
    assert settings.s3_public_endpoint == "http://127.0.0.1:7070"


# --- Faults ------------------------------------------------------------------------------------


def test_every_fault_is_reported_at_once() -> None:
    """One start tells all there is to mend."""
    found = faults(
        GATEWAY_SERVER_PORT="http",
        GATEWAY_JWT_SECRET="short",
        GATEWAY_S3_BUCKET="",
        GATEWAY_STREAM_IDLE="never",
        GATEWAY_S3_KEYS_BUCKET="UPPER",
    )
    assert set(found) == {
        "GATEWAY_SERVER_PORT",
        "GATEWAY_JWT_SECRET",
        "GATEWAY_S3_BUCKET",
        "GATEWAY_STREAM_IDLE",
        "GATEWAY_S3_KEYS_BUCKET",
    }


def test_fault_says_what_was_found_and_what_was_expected() -> None:
    """The name, the value and the accepted form are all in the message."""
    fault = faults(GATEWAY_SERVER_PORT="http")["GATEWAY_SERVER_PORT"]
    assert fault == Fault("GATEWAY_SERVER_PORT", "http", "a whole number from 1 to 65535")
    assert str(fault).endswith("found 'http', expected a whole number from 1 to 65535")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("GATEWAY_SERVER_PROT", "GATEWAY_SERVER_PORT"),
        ("GATEWAY_JWT_SECRETS", "GATEWAY_JWT_SECRET"),
        ("GATEWAY_SERVICE_CORE", "GATEWAY_SERVICES_CORE"),
        ("GATEWAY_ADMIN_HOST", "GATEWAY_ADMIN_LISTEN_HOST"),
        ("GATEWAY_SERVER_PORT_FILE", "GATEWAY_SERVER_PORT"),
    ],
)
def test_unknown_name_is_a_fault_with_the_nearest_known_one(name: str, nearest: str) -> None:
    """A typing error does not silently leave the default; its value may be a secret."""
    fault = faults(**{name: "the-value"})[name]
    assert fault.expected.endswith(f"did you mean {nearest}?")
    assert fault.found is None


def test_unknown_key_in_the_file_is_a_fault_with_the_nearest_known_one(tmp_path: Path) -> None:
    """The file is read as strictly as the environment."""
    config = tmp_path / "dev.toml"
    config.write_text("[server]\nprot = 1")
    fault = faults(config)["GATEWAY_SERVER_PROT"]
    assert "did you mean GATEWAY_SERVER_PORT?" in fault.expected
    assert "dev.toml" in fault.expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"server_port = ", "a TOML file"),
        (b"\xff\xfe", "a TOML file (not UTF-8)"),
        (None, "a readable file"),
    ],
)
def test_unreadable_config_file_is_a_fault(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    """A named file that cannot be used is told along with the rest."""
    config = tmp_path / "dev.toml"
    if content is not None:
        config.write_bytes(content)
    found = faults(config, GATEWAY_SERVER_PORT="http")
    assert expected in found["GATEWAY_CONFIG_FILE"].expected
    assert "GATEWAY_SERVER_PORT" in found


def test_value_of_a_wrong_toml_kind_is_a_fault(tmp_path: Path) -> None:
    """A date or a list of numbers is no setting's value."""
    config = tmp_path / "dev.toml"
    config.write_text("server_port = 1979-05-27\ncors_origins = [1, 2]")
    assert {"GATEWAY_SERVER_PORT", "GATEWAY_CORS_ORIGINS"} <= set(faults(config))


def test_secret_given_twice_is_a_fault(tmp_path: Path) -> None:
    """Which of the two was meant is not ours to guess."""
    fault = faults(GATEWAY_CORE_TOKEN_FILE=str(tmp_path / "token"))["GATEWAY_CORE_TOKEN"]
    assert "not both" in fault.expected


@pytest.mark.parametrize(
    "content", [None, b"\xff" * 40, b"x" * 70_000], ids=["missing", "not UTF-8", "large"]
)
def test_unusable_secret_file_is_a_fault_that_shows_neither_path_nor_content(
    tmp_path: Path, content: bytes | None
) -> None:
    """Somebody may have put the secret where its path belongs."""
    file = tmp_path / "jwt"
    if content is not None:
        file.write_bytes(content)
    fault = faults(GATEWAY_JWT_SECRET="", GATEWAY_JWT_SECRET_FILE=str(file))
    assert fault["GATEWAY_JWT_SECRET_FILE"].found is None
    assert str(file) not in str(fault)


def test_kubernetes_service_links_are_not_faults() -> None:
    """A Service named ``gateway`` puts variables of its own into every pod of the namespace."""
    links = {
        "GATEWAY_SERVICE_HOST": "10.0.0.7",
        "GATEWAY_SERVICE_PORT": "8080",
        "GATEWAY_SERVICE_PORT_HTTP": "8080",
        "GATEWAY_PORT": "tcp://10.0.0.7:8080",
        "GATEWAY_PORT_8080_TCP": "tcp://10.0.0.7:8080",
        "GATEWAY_PORT_8080_TCP_ADDR": "10.0.0.7",
        "GATEWAY_METRICS_SERVICE_HOST": "10.0.0.8",
        "GATEWAY_METRICS_SERVICE_PORT": "9090",
        "GATEWAY_METRICS_PORT": "tcp://10.0.0.8:9090",
    }
    assert load(**links) == load()
    assert "GATEWAY_PORT" in faults(GATEWAY_PORT="8080")


# --- Rules over several settings -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"GATEWAY_S3_KEYS_BUCKET": "documents"}, "GATEWAY_S3_KEYS_BUCKET"),
        ({"GATEWAY_S3_KEYS_ACCESS_KEY": "another"}, "GATEWAY_S3_KEYS_ACCESS_KEY"),
        ({"GATEWAY_USERS_FILE": ""}, "GATEWAY_USERS_FILE"),
        ({"GATEWAY_ADMIN_USERNAME": "admin"}, "GATEWAY_ADMIN_PASSWORD"),
        ({"GATEWAY_ADMIN_PASSWORD": "long enough"}, "GATEWAY_ADMIN_USERNAME"),
        (
            {
                "GATEWAY_ADMIN_USERNAME": "admin",
                "GATEWAY_ADMIN_PASSWORD": "long enough",
                "GATEWAY_ADMIN_PASSWORD_HASH": "$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA",
            },
            "GATEWAY_ADMIN_PASSWORD",
        ),
        ({"GATEWAY_JWT_SECRET_PREVIOUS": SECRET}, "GATEWAY_JWT_SECRET_PREVIOUS"),
        (
            {"GATEWAY_KEYS_SECRET": SECRET, "GATEWAY_KEYS_SECRET_PREVIOUS": SECRET},
            "GATEWAY_KEYS_SECRET_PREVIOUS",
        ),
        ({"GATEWAY_KEYS_SECRET_PREVIOUS": SECRET}, "GATEWAY_KEYS_SECRET"),
        (
            {"GATEWAY_CORS_ORIGINS": "*", "GATEWAY_CORS_CREDENTIALS": "true"},
            "GATEWAY_CORS_CREDENTIALS",
        ),
        ({"GATEWAY_CORS_ORIGINS": "*,https://a.io"}, "GATEWAY_CORS_ORIGINS"),
        ({"GATEWAY_ADMIN_LISTEN_PORT": "8080"}, "GATEWAY_ADMIN_LISTEN_PORT"),
        (
            {"GATEWAY_SERVER_HOST": "0.0.0.0", "GATEWAY_ADMIN_LISTEN_PORT": "8080"},
            "GATEWAY_ADMIN_LISTEN_PORT",
        ),
        (
            {"GATEWAY_UPLOAD_MAX_SIZE": "100GiB", "GATEWAY_UPLOAD_PART_SIZE": "5MiB"},
            "GATEWAY_UPLOAD_PART_SIZE",
        ),
        ({"GATEWAY_STREAM_TOTAL": "10s"}, "GATEWAY_STREAM_IDLE"),
    ],
)
def test_settings_that_contradict_each_other_are_faults(environ: dict[str, str], name: str) -> None:
    """Each value may be fine and the whole of them not."""
    assert name in faults(**environ)


def test_one_admin_from_the_environment_needs_no_users_file() -> None:
    """The single-user set-up: a name and a password."""
    settings = load(
        GATEWAY_USERS_FILE="", GATEWAY_ADMIN_USERNAME="admin", GATEWAY_ADMIN_PASSWORD="long enough"
    )
    assert (settings.admin_username, settings.admin_tenant) == ("admin", "main")


# --- Kinds of values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("GATEWAY_JWT_EXPIRATION", "90m", 5400.0),
        ("GATEWAY_POLICY_BUDGET", "500ms", 0.5),
        ("GATEWAY_CORE_TIMEOUT", "2", 2.0),
        ("GATEWAY_JWT_SKEW", "0", 0.0),
        ("GATEWAY_BODY_LIMIT", "64KiB", 65536),
        ("GATEWAY_BODY_LIMIT", "4096", 4096),
        ("GATEWAY_SERVICES_CORE", "http://a:1/, https://b/base/", ("http://a:1", "https://b/base")),
        ("GATEWAY_SERVICES_CORE", "http://[::1]:8100", ("http://[::1]:8100",)),
        ("GATEWAY_SERVICES_CORE", "dns+http://core:8100/", ("dns+http://core:8100",)),
        ("GATEWAY_SERVICES_CORE", "dns+https://core,http://b", ("dns+https://core", "http://b")),
        ("GATEWAY_SERVICES_CORE", "dns+http://[::1]:8100", ("dns+http://[::1]:8100",)),
        ("GATEWAY_SERVICES_CORE", "srv+http://core.consul/", ("srv+http://core.consul",)),
        ("GATEWAY_SERVICES_CORE", "srv+https://_http._tcp.c/v", ("srv+https://_http._tcp.c/v",)),
        ("GATEWAY_SERVICES_TEMPORAL", "[::1]:7233", "[::1]:7233"),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8", (ipaddress.ip_network("10.0.0.0/8"),)),
        (
            "GATEWAY_TRUSTED_PROXIES",
            "::ffff:10.0.0.0/104",
            (ipaddress.ip_network("10.0.0.0/8"),),
        ),
        ("GATEWAY_CORS_ORIGINS", "*", ("*",)),
        ("GATEWAY_CORS_ORIGINS", "https://a.io:443", ("https://a.io",)),
        ("GATEWAY_CORS_HEADERS", "X-One, x-two", ("x-one", "x-two")),
        ("GATEWAY_ADMIN_LISTEN_PORT", "0", 0),
        ("GATEWAY_SERVER_HOST", "::", "::"),
        ("GATEWAY_SERVER_HOST", "[::1]", "::1"),
        ("GATEWAY_ADMIN_LISTEN_HOST", "[::]", "::"),
        ("GATEWAY_SERVICES_CORE", "grpc://core:8101/", ("grpc://core:8101",)),
        ("GATEWAY_SERVICES_CORE", "grpcs://[::1]:8101", ("grpcs://[::1]:8101",)),
        (
            "GATEWAY_SERVICES_CORE",
            "dns+grpcs://core:8101,srv+grpc://_kb._tcp.core",
            ("dns+grpcs://core:8101", "srv+grpc://_kb._tcp.core"),
        ),
        ("GATEWAY_CORE_TOKEN", "\ufeffcore-token", "core-token"),
        ("GATEWAY_LOG_LEVEL", "debug", "debug"),
    ],
)
def test_accepted_values(name: str, text: str, value: Any) -> None:
    """The forms the settings page promises."""
    attribute = next(attribute for attribute, spec in SPECS.items() if spec.env == name)
    assert getattr(load(**{name: text}), attribute) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GATEWAY_JWT_EXPIRATION", "24 hours"),
        ("GATEWAY_JWT_EXPIRATION", "-1h"),
        ("GATEWAY_JWT_EXPIRATION", "inf"),
        ("GATEWAY_JWT_SKEW", "121s"),
        ("GATEWAY_KEYS_CACHE_TTL", "6s"),
        ("GATEWAY_BODY_LIMIT", "1MB"),
        ("GATEWAY_BODY_LIMIT", "1.5MiB"),
        ("GATEWAY_SERVER_PORT", "0"),
        ("GATEWAY_SERVER_PORT", "65536"),
        ("GATEWAY_SERVER_PORT", "٨٠٨٠"),
        ("GATEWAY_SERVER_PORT", "8_080"),
        ("GATEWAY_SERVER_WORKERS", "65"),
        ("GATEWAY_CORS_CREDENTIALS", "yes"),
        ("GATEWAY_CORS_CREDENTIALS", "True"),
        ("GATEWAY_CORS_ORIGINS", "https://a.io/"),
        ("GATEWAY_CORS_ORIGINS", "https://A.io"),
        ("GATEWAY_CORS_ORIGINS", "https://a.io,https://a.io:443"),
        ("GATEWAY_CORS_ORIGINS", "http://127.1"),
        ("GATEWAY_CORS_ORIGINS", "http://0x7f.0.0.0x1"),
        ("GATEWAY_CORS_HEADERS", "*"),
        ("GATEWAY_CORS_HEADERS", "X-One:"),
        ("GATEWAY_CORS_HEADERS", "X-One,x-one"),
        ("GATEWAY_CORS_ORIGINS", "a.io"),
        ("GATEWAY_CORS_ORIGINS", "https://a.io,,https://b.io"),
        ("GATEWAY_SERVICES_CORE", "core:8100"),
        ("GATEWAY_SERVICES_CORE", "ftp://core"),
        ("GATEWAY_SERVICES_CORE", "http://core?x=1"),
        ("GATEWAY_SERVICES_CORE", "dns+core:8100"),
        ("GATEWAY_SERVICES_CORE", "dns+http://"),
        ("GATEWAY_SERVICES_CORE", "dns+srv+http://core"),
        ("GATEWAY_SERVICES_CORE", "dns+http://_http._tcp.core"),
        ("GATEWAY_SERVICES_CORE", "srv+http://core:8100"),
        ("GATEWAY_SERVICES_CORE", "srv+http://[::1]"),
        ("GATEWAY_SERVICES_CORE", "srv+http://_http._tcp"),
        ("GATEWAY_SERVICES_CORE", "srv+http://_http._tcp."),
        ("GATEWAY_SERVICES_CORE", "srv+http://u@core"),
        ("GATEWAY_SERVICES_CORE", "grpc+http://core"),
        ("GATEWAY_SERVICES_CORE", "grpc://core"),
        ("GATEWAY_SERVICES_CORE", "grpc://[::1]"),
        ("GATEWAY_SERVICES_CORE", "grpc://core:8101/path"),
        ("GATEWAY_SERVICES_CORE", "dns+grpc://core"),
        ("GATEWAY_SERVICES_CORE", "srv+grpc://core:8101"),
        ("GATEWAY_SERVICES_CORE", "grpc://core:8101,http://core:8100"),
        ("GATEWAY_SERVICES_CORE", "http://core:99999"),
        ("GATEWAY_SERVICES_CORE", "http://co re"),
        ("GATEWAY_SERVICES_CORE", "http://core,http://core"),
        ("GATEWAY_S3_ENDPOINT", "http://s3/path"),
        ("GATEWAY_SERVICES_TEMPORAL", "temporal"),
        ("GATEWAY_SERVICES_TEMPORAL", "http://temporal:7233"),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("GATEWAY_ADMIN_TENANT", "Main"),
        ("GATEWAY_POLICY_DIR", "/nowhere/at/all"),
        ("GATEWAY_UPLOAD_TYPES", "Text/Plain"),
        ("GATEWAY_LOG_LEVEL", "verbose"),
        ("GATEWAY_CORE_TOKEN", "a\nb"),
        ("GATEWAY_CORE_TOKEN", "a b"),
    ],
)
def test_refused_values(name: str, text: str) -> None:
    """Anything but the promised forms is a fault of that setting."""
    assert name in faults(**{name: text})


@given(st.text(max_size=40))
def test_no_text_makes_the_loading_fail_otherwise(text: str) -> None:
    """Whatever is written, the answer is settings or faults, never another exception."""
    for spec in SPECS.values():
        read(SPECS, {**REQUIRED, str(spec.env): text}, None)


@given(st.integers(0, 10**6))
def test_durations_and_sizes_scale_with_their_unit(number: int) -> None:
    """60 of one unit is 1 of the next; 1,024 for sizes."""
    assert seconds_of(f"{number}m") == seconds_of(f"{number * 60}s")
    assert seconds_of(f"{number * 1000}ms") == pytest.approx(number)
    assert bytes_of(f"{number}MiB") == bytes_of(f"{number * 1024}KiB")


def test_jwt_secret_is_raw_or_base64url() -> None:
    """The prefix decides; without it the text's own bytes are the key."""
    key = bytes(range(200, 240))
    encoded = base64.urlsafe_b64encode(key).decode()
    assert load(GATEWAY_JWT_SECRET=f"base64url:{encoded}").jwt_secret == key
    assert load(GATEWAY_JWT_SECRET="base64url:" + encoded.rstrip("=")).jwt_secret == key
    assert load(GATEWAY_JWT_SECRET=encoded).jwt_secret == encoded.encode()


@pytest.mark.parametrize(
    "secret",
    [
        "x" * 31,
        "base64url:" + base64.urlsafe_b64encode(b"x" * 31).decode(),
        "base64url:" + "+" * 48,
        "base64url:" + "A" * 45,
        "base64url:",
    ],
)
def test_jwt_secret_below_32_bytes_does_not_start(secret: str) -> None:
    """HS256 is as strong as its key; 32 bytes is RFC 7518's minimum."""
    assert faults(GATEWAY_JWT_SECRET=secret)["GATEWAY_JWT_SECRET"].found is None


def test_two_jwt_secrets_verify_and_the_first_signs() -> None:
    """Rotation: the new one first, the previous one behind it."""
    settings = load(GATEWAY_JWT_SECRET_PREVIOUS="p" * 40)
    assert settings.jwt_secrets == (SECRET.encode(), b"p" * 40)
    assert load().jwt_secrets == (SECRET.encode(),)


# --- Secrets stay secret -------------------------------------------------------------------------


def test_repr_shows_no_secret() -> None:
    """Settings end up in tracebacks and logs."""
    text = repr(load(GATEWAY_SENTRY_DSN="https://abc@sentry.example.com/1"))
    for name in ("JWT_SECRET", "CORE_TOKEN", "S3_ACCESS_KEY", "S3_SECRET_KEY"):
        assert REQUIRED[f"GATEWAY_{name}"] not in text
    assert "abc@" not in text
    assert "core_token=***" in text
    assert "server_port=8080" in text


@pytest.mark.parametrize("spec", [s for s in SPECS.values() if s.secret], ids=lambda s: s.env)
def test_no_fault_shows_a_secret(spec: Any) -> None:
    """A secret that does not fit is told without being shown."""
    with pytest.raises(SettingsError) as caught:
        load(**{spec.env: "zq\x00zq"}, GATEWAY_SERVER_PORT="http")
    assert spec.env in str(caught.value)
    assert "zq" not in str(caught.value)


def test_password_in_an_address_is_not_shown() -> None:
    """An address with a user in it is refused, and its password kept out of the message."""
    fault = faults(GATEWAY_S3_ENDPOINT="http://user:hunter2@s3")["GATEWAY_S3_ENDPOINT"]
    assert fault.found == "http://***@s3"


# --- The object ----------------------------------------------------------------------------------


def test_settings_are_frozen_and_can_be_sent_to_a_worker() -> None:
    """Workers are spawned: the settings are pickled on their way."""
    settings = load()
    with pytest.raises(FrozenInstanceError):
        settings.server_port = 1  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_every_setting_is_described() -> None:
    """The settings page says something of each, and names are unique."""
    assert len({spec.env for spec in SPECS.values()}) == len(SPECS)
    for spec in SPECS.values():
        assert spec.doc.endswith("."), spec.env
        assert spec.parser.expected, spec.env


def test_example_file_names_every_fault_of_an_empty_environment() -> None:
    """What ``.env.example`` leaves to fill in is what the gateway asks for."""
    missing = {fault.name for fault in read(SPECS, {}, None).faults}
    assert missing == {str(s.env) for s in SPECS.values() if s.required} | {"GATEWAY_USERS_FILE"}


def test_traces_without_their_extra_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told with what to install, and not by a worker that cannot import."""
    environ = {**REQUIRED, "GATEWAY_OTLP_ENDPOINT": "http://collector:4318"}
    assert Settings.load(environ).otlp_sample == 0.1
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ)
    assert [fault.name for fault in caught.value.faults] == ["GATEWAY_OTLP_ENDPOINT"]
    assert "pip install 'knowledge-base-gateway[otel]'" in str(caught.value)


@pytest.mark.parametrize("text", ["1.1", "-0.1", "a tenth", "nan", "1e-3", "0,1"])
def test_a_share_is_a_number_from_0_to_1(text: str) -> None:
    with pytest.raises(SettingsError):
        Settings.load({**REQUIRED, "GATEWAY_OTLP_SAMPLE": text})
