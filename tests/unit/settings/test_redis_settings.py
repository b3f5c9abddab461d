"""Redis's settings: what its URL may be, and that none of its secrets is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import SettingsError, read
from gateway.settings.model import SPECS
from gateway.settings.redis_settings import RedisUrl

from ..valid_settings import REQUIRED, load

GOOD = {
    "redis://redis": RedisUrl((("redis", 6379),)),
    "redis://10.0.0.1:7000/3": RedisUrl((("10.0.0.1", 7000),), database=3),
    "redis://[::1]": RedisUrl((("::1", 6379),)),
    "redis://[::1]:7000/": RedisUrl((("::1", 7000),)),
    "redis://:pass@redis": RedisUrl((("redis", 6379),), password="pass"),
    "rediss://ada:p%40ss%3A@redis:1": RedisUrl(
        (("redis", 1),), tls=True, username="ada", password="p@ss:"
    ),
    "redis+sentinel://a:1,b/main": RedisUrl((("a", 1), ("b", 26379)), master="main"),
    "rediss+sentinel://ada:x@a,[::1]:5/main/2": RedisUrl(
        (("a", 26379), ("::1", 5)),
        tls=True,
        master="main",
        database=2,
        username="ada",
        password="x",
    ),
}
BAD = [
    "redis",
    "http://redis:6379",
    "redis://",
    "redis://a,b",
    "redis://redis/name",
    "redis://redis/1/2",
    "redis://redis:0",
    "redis://redis:99999",
    "redis://redis?timeout=1",
    "redis://redis#1",
    "redis+sentinel://a:1",
    "redis+sentinel://a,a/main",
    "redis+sentinel://a,/main",
    "redis+sentinel://a/main/name",
    "redis+sentinel://a/na me",
]


@pytest.mark.parametrize("text", GOOD)
def test_urls_are_read(text: str) -> None:
    assert load(GATEWAY_REDIS_URL=text).redis_url == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_such_url_is_a_fault_that_does_not_repeat_it(text: str) -> None:
    """It may hold a password."""
    assert faults(GATEWAY_REDIS_URL=text).keys() == {"GATEWAY_REDIS_URL"}
    assert text not in str(faults(GATEWAY_REDIS_URL=text)["GATEWAY_REDIS_URL"]).split()


def faults(**more: str) -> dict[str, object]:
    with pytest.raises(SettingsError) as caught:
        load(**more)
    return {fault.name: fault for fault in caught.value.faults}


def test_without_a_url_nothing_else_is_needed() -> None:
    settings = load()
    assert (settings.redis_url, settings.redis_prefix) == (None, "kbg:")
    assert settings.redis_timeout == 0.25


def test_no_secret_is_shown_anywhere(tmp_path: Path) -> None:
    """Not by the settings, not by the URL's own text, not in what ``gateway check`` prints."""
    given = {
        "GATEWAY_REDIS_URL": "redis+sentinel://ada:hidden-one@a/main",
        "GATEWAY_REDIS_SENTINEL_PASSWORD": "hidden-two",
    }
    settings = load(**given)
    reading = read(SPECS, {**REQUIRED, **given}, None)
    for text in (repr(settings), repr(settings.redis_url), repr(reading.texts)):
        assert "hidden" not in text


def test_a_password_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\n".replace(" ", "-"))
    settings = load(GATEWAY_REDIS_URL="redis://redis", GATEWAY_REDIS_PASSWORD_FILE=str(file))
    assert settings.redis_password == "from-a-file"


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"REDIS_PASSWORD": "x"}, "GATEWAY_REDIS_URL"),
        ({"REDIS_URL": "redis://:y@redis", "REDIS_PASSWORD": "x"}, "GATEWAY_REDIS_PASSWORD"),
        (
            {"REDIS_URL": "redis://redis", "REDIS_SENTINEL_PASSWORD": "x"},
            "GATEWAY_REDIS_SENTINEL_PASSWORD",
        ),
        ({"REDIS_URL": "redis://redis", "REDIS_PREFIX": "kbg"}, "GATEWAY_REDIS_PREFIX"),
        ({"REDIS_URL": "redis://redis", "REDIS_TIMEOUT": "1ms"}, "GATEWAY_REDIS_TIMEOUT"),
    ],
)
def test_settings_that_do_not_go_together_are_faults(more: dict[str, str], name: str) -> None:
    assert faults(**{f"GATEWAY_{key}": text for key, text in more.items()}).keys() == {name}


def test_certificates_for_a_redis_without_tls_are_a_fault(tmp_path: Path) -> None:
    """Whoever names them expects that they are used."""
    from tests.certificates import Authority

    ca = str(Authority(tmp_path).ca)
    assert faults(GATEWAY_REDIS_URL="redis://redis", GATEWAY_REDIS_CA_FILE=ca).keys() == {
        "GATEWAY_REDIS_URL"
    }
    assert load(GATEWAY_REDIS_URL="rediss://redis", GATEWAY_REDIS_CA_FILE=ca).redis_url is not None


def test_without_the_extra_the_url_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how to install it."""
    monkeypatch.setattr("gateway.settings.cross_checks._is_installed", lambda name: False)
    found = faults(GATEWAY_REDIS_URL="redis://redis")["GATEWAY_REDIS_URL"]
    assert "[redis]" in str(found)
