"""What to change in which proxy, for each fault that a probe can find.

As their documentation has it. nginx and HAProxy were run; Envoy, Cloudflare and Traefik were not.
A proxy that cannot have the fault, or not by its settings, says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PROXIES: Final = ("nginx", "Envoy", "HAProxy", "Cloudflare", "Traefik")

CHANGES: Final[Mapping[str, Mapping[str, str]]] = {
    "buffered": {
        "nginx": "proxy_buffering off; and no proxy_ignore_headers X-Accel-Buffering;",
        "Envoy": "no buffer filter on this route, and no compressor for text/event-stream",
        "HAProxy": "option http-no-delay: without it small pieces may wait for 200 ms",
        "Cloudflare": "turn off what rewrites bodies for this path",
        "Traefik": "no buffering middleware on this router",
    },
    "compressed": {
        "nginx": "gzip off; or no text/event-stream in gzip_types",
        "Envoy": "no text/event-stream in the compressor filter's content_type",
        "HAProxy": "no text/event-stream in compression type",
        "Cloudflare": "a compression rule for this path: disabled",
        "Traefik": "text/event-stream in excludedContentTypes of the compress middleware",
    },
    "idle_cut": {
        "nginx": "proxy_read_timeout 120s; and send_timeout not below it",
        "Envoy": "stream_idle_timeout: 120s, and timeout: 0s on the route",
        "HAProxy": "timeout server 120s and timeout client 120s; timeout tunnel for sockets",
        "Cloudflare": "its limit is 100 s: keep GATEWAY_STREAM_PING well below",
        "Traefik": "respondingTimeouts of the entry point: writeTimeout 0, idleTimeout 180s",
    },
    "leave_lost": {
        "nginx": "proxy_ignore_client_abort off, which is its default",
        "Envoy": "passes a leave on by itself: look at what stands behind it",
        "HAProxy": "option abortonclose",
        "Cloudflare": "passes a leave on by itself: look at what stands behind it",
        "Traefik": "passes a leave on by itself: look at what stands behind it",
    },
    "http_1_0": {
        "nginx": 'proxy_http_version 1.1; and proxy_set_header Connection "";',
        "Envoy": "speaks 1.1 and newer: look at what stands before or behind it",
        "HAProxy": "speaks 1.1 and newer: look at what stands before or behind it",
        "Cloudflare": "speaks 1.1 and newer: look at what stands before or behind it",
        "Traefik": "speaks 1.1 and newer: look at what stands before or behind it",
    },
    "headers_lost": {
        "nginx": 'no proxy_set_header NAME ""; and no proxy_hide_header NAME;',
        "Envoy": "request_headers_to_remove and response_headers_to_remove of the route",
        "HAProxy": "http-request del-header and http-response del-header",
        "Cloudflare": "transform rules that remove headers",
        "Traefik": "customRequestHeaders and customResponseHeaders with an empty value",
    },
    "broken_off": {
        "nginx": "its error log says why; often proxy_read_timeout",
        "Envoy": "its access log's %RESPONSE_FLAGS% say why; often a timeout of the route (UT)",
        "HAProxy": "the termination state in its log says why; often timeout server (sD)",
        "Cloudflare": "a 524 is its limit of 100 s",
        "Traefik": "respondingTimeouts of the entry point: writeTimeout 0",
    },
}
