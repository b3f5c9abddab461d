"""Pages of other origins: nothing unless listed, and never more than listed."""

from __future__ import annotations

import pytest

from gateway.settings import Settings, SettingsError

from .conftest import ENVIRONMENT, Gateway, running_gateway
from .raw import Answer, exchange, request
from .stub_core import StubCore

HERE = "https://app.example.com"
PREFLIGHT = {"Origin": HERE, "Access-Control-Request-Method": "POST"}


async def send(
    gateway: Gateway, method: str, target: str, headers: dict[str, str] | list[tuple[str, str]]
) -> Answer:
    return await exchange(gateway.address, request(method, target, headers))


def cors_headers(answer: Answer) -> set[str]:
    return {name for name, _ in answer.headers if name.startswith("access-control")}


async def test_cors_is_off_unless_origins_are_listed(gateway: Gateway) -> None:
    """No header, and a preflight is just an OPTIONS that no route knows."""
    for target in ("/healthz", "/api/v1/documents", "/nothing"):
        assert not cors_headers(await send(gateway, "GET", target, {"Origin": HERE}))
        preflight = await send(gateway, "OPTIONS", target, PREFLIGHT)
        assert preflight.status in (404, 405)
        assert not cors_headers(preflight)


async def test_a_preflight_is_answered_without_a_credential(core: StubCore) -> None:
    """For a listed origin: what the API takes and for how long, without a credential."""
    async with running_gateway(core, CORS_ORIGINS=HERE) as gateway:
        answer = await send(gateway, "OPTIONS", "/api/v1/query", PREFLIGHT)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("access-control-allow-origin") == HERE
    assert "POST" in (answer.header("access-control-allow-methods") or "")
    allowed = (answer.header("access-control-allow-headers") or "").lower()
    assert {"authorization", "content-type", "x-api-key"} <= set(allowed.split(", "))
    assert answer.header("access-control-allow-credentials") is None
    assert set((answer.header("vary") or "").split(", ")) == {
        "Origin",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
    }


TOOLS = (
    *("baggage", "sentry-trace", "traceparent", "tracestate", "last-event-id", "x-requested-with"),
    *("x-datadog-origin", "x-datadog-parent-id", "x-datadog-sampling-priority"),
    *("x-datadog-tags", "x-datadog-trace-id", "idempotency-key"),
)


async def allowed_headers(gateway: Gateway) -> list[str]:
    answer = await send(gateway, "OPTIONS", "/api/v1/query", PREFLIGHT)
    return (answer.header("access-control-allow-headers") or "").split(", ")


async def test_a_page_with_tools_in_it_may_call(core: StubCore) -> None:
    """Tracing and the like add headers to each request; a preflight that lacks one stops it."""
    async with running_gateway(core, CORS_ORIGINS=HERE) as gateway:
        assert set(TOOLS) <= set(await allowed_headers(gateway))


async def test_more_headers_are_allowed_by_a_setting(core: StubCore) -> None:
    """They come to those that are always allowed; each is named once."""
    settings = {"CORS_ORIGINS": HERE, "CORS_HEADERS": "X-Client-Version, Baggage"}
    async with running_gateway(core, **settings) as gateway:
        allowed = await allowed_headers(gateway)
    assert {"x-client-version", "authorization", "x-api-key", *TOOLS} <= set(allowed)
    assert len(allowed) == len(set(allowed))


async def test_a_page_may_read_what_tells_it_how_to_go_on(core: StubCore) -> None:
    """Its limits, when to come again, which version it has, whether it was kept, what to report."""
    async with running_gateway(core, CORS_ORIGINS=HERE) as gateway:
        answer = await send(gateway, "GET", "/api/v1/documents", {"Origin": HERE})
    exposed = (answer.header("access-control-expose-headers") or "").split(", ")
    assert set(exposed) == {
        *("Deprecation", "Link", "Sunset"),
        *("ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"),
        *("X-Request-ID", "Cache-Status"),
    }


@pytest.mark.parametrize(
    ("listed", "sent"),
    [
        (f"{HERE}:443", HERE),
        (f"{HERE}:", HERE),
        (f"{HERE}:0443", HERE),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:03000", "http://localhost:3000"),
        ("http://app.example.com:443", "http://app.example.com:443"),
        ("http://[0:0:0:0:0:0:0:1]:80", "http://[::1]"),
    ],
)
async def test_an_origin_is_compared_as_browsers_write_it(
    core: StubCore, listed: str, sent: str
) -> None:
    """The default port is never in ``Origin``, and numbers are in their short form."""
    async with running_gateway(core, CORS_ORIGINS=listed) as gateway:
        answer = await send(gateway, "GET", "/healthz", {"Origin": sent})
    assert answer.header("access-control-allow-origin") == sent


async def test_a_preflight_of_another_origin_allows_nothing(core: StubCore) -> None:
    """The preflight is answered without permission, and varies by origin for caches."""
    async with running_gateway(core, CORS_ORIGINS=HERE) as gateway:
        for origin in ("https://evil.example.com", "null", HERE + ".evil.com", HERE.upper()):
            answer = await send(
                gateway, "OPTIONS", "/api/v1/query", {**PREFLIGHT, "Origin": origin}
            )
            assert answer.status == 204
            assert not cors_headers(answer)
            assert "Origin" in (answer.header("vary") or "")


@pytest.mark.parametrize("left_out", ["Origin", "Access-Control-Request-Method"])
async def test_an_options_that_is_no_preflight_is_no_way_round(
    core: StubCore, left_out: str
) -> None:
    """Only both headers together make one; else it is a method no route has."""
    headers = {name: value for name, value in PREFLIGHT.items() if name != left_out}
    async with running_gateway(core, CORS_ORIGINS=HERE) as gateway:
        answer = await send(gateway, "OPTIONS", "/api/v1/query", headers)
    assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")


async def test_a_listed_page_may_read_answers_and_refusals(core: StubCore) -> None:
    """Also 401, 404 and 503, or the page could not tell its user what went wrong."""
    async with running_gateway(core, CORS_ORIGINS=f"{HERE},https://b.example.com") as gateway:
        for target, status in (("/healthz", 200), ("/nothing", 404), ("/api/v1/documents", 401)):
            answer = await send(gateway, "GET", target, {"Origin": HERE})
            assert answer.status == status
            assert answer.header("access-control-allow-origin") == HERE
            assert "X-Request-ID" in (answer.header("access-control-expose-headers") or "")
            assert "Origin" in (answer.header("vary") or "")
        other = await send(gateway, "GET", "/healthz", {"Origin": "https://evil.example.com"})
        assert not cors_headers(other)
        assert "Origin" in (other.header("vary") or "")
        none = await send(gateway, "GET", "/healthz", {})
        assert "Origin" in (none.header("vary") or "")
        twice = await send(gateway, "GET", "/healthz", [("Origin", HERE), ("Origin", "x")])
        assert not cors_headers(twice)


async def test_a_stream_can_be_read_by_a_listed_page(core: StubCore) -> None:
    """The head of an event stream carries the same permission."""
    async with running_gateway(core, CORS_ORIGINS=HERE) as gateway:
        streaming = await gateway.asking(Origin=HERE)
        assert streaming.headers["access-control-allow-origin"] == HERE
        await streaming.rest()
        streaming.writer.close()


async def test_credentials_are_allowed_when_set(core: StubCore) -> None:
    """Then, and with the origin spelled out, never ``*``."""
    async with running_gateway(core, CORS_ORIGINS=HERE, CORS_CREDENTIALS="true") as gateway:
        for answer in (
            await send(gateway, "GET", "/healthz", {"Origin": HERE}),
            await send(gateway, "OPTIONS", "/api/v1/query", PREFLIGHT),
        ):
            assert answer.header("access-control-allow-credentials") == "true"
            assert answer.header("access-control-allow-origin") == HERE


async def test_any_origin_means_no_credentials(core: StubCore) -> None:
    """``*`` is the answer for everybody alike, so it does not vary."""
    async with running_gateway(core, CORS_ORIGINS="*") as gateway:
        answer = await send(gateway, "GET", "/healthz", {"Origin": "https://any.example.com"})
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("access-control-allow-credentials") is None
    assert "Origin" not in (answer.header("vary") or "")


def test_any_origin_with_credentials_does_not_start() -> None:
    """Else every site could act in the name of its visitors."""
    environ = {
        **ENVIRONMENT,
        "GATEWAY_SERVICES_CORE": "http://127.0.0.1:1",
        "GATEWAY_CORS_ORIGINS": "*",
        "GATEWAY_CORS_CREDENTIALS": "true",
    }
    with pytest.raises(SettingsError, match="GATEWAY_CORS"):
        Settings.load(environ)
