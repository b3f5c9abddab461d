"""Whether Sanic still has the shape that our code below its public API was written for.

``protocol.py`` and ``http1.py`` replace some of Sanic's methods and rely on others. A release that
moves them would not fail loudly: requests would be read by Sanic's rules again, or deadlines never
be checked. So start-up compares, and fails on a Sanic that is built otherwise.
"""

from __future__ import annotations

from typing import Any

import sanic
from sanic import Sanic
from sanic.http import Http
from sanic.server.protocols.http_protocol import HttpProtocol
from sanic.signals import SignalRouter

# What Sanic's methods must refer to for ours to fit in between.
_SHAPE: dict[Any, set[str]] = {
    Http.http1: {
        *("init_for_request", "recv_buffer", "_receive_more", "http1_request_header"),
        *("stage", "response_func", "error_response", "request_body", "keep_alive", "conn_info"),
    },
    Http.http1_request_header: {
        *("recv_buffer", "_receive_more", "keep_alive", "head_only", "url", "request_class"),
        *("request_bytes_left", "request_bytes", "expecting_continue", "request_body", "_current"),
    },
    Http.__aiter__: {"request_body", "read"},
    Http.read: {"request_body", "request_bytes", "request_max_size", "expecting_continue", "_send"},
    Http.http1_response_header: {
        *("response_func", "stage", "processed_headers", "_send", "expecting_continue"),
    },
    Http.error_response: {"stage", "keep_alive", "create_empty_request"},
    HttpProtocol.connection_task: {"_setup_connection", "_http", "http1", "_task", "close"},
    HttpProtocol.connection_made: {"connections", "transport", "_task", "recv_buffer", "conn_info"},
    HttpProtocol.data_received: {"recv_buffer", "_data_received", "_time", "pause_reading"},
    HttpProtocol.receive_more: {"_data_received", "resume_reading"},
    HttpProtocol.send: {"_can_write", "is_closing", "write"},
    HttpProtocol.pause_writing: {"_can_write", "clear"},
    HttpProtocol.resume_writing: {"_can_write", "set"},
    # It reads no body of a route that says so: our endpoints read theirs.
    Sanic.handle_request: {"ignore_body", "receive_body", "request_middleware"},
    # What ``worker.compile_routes`` does before a fork; the loop is all of it that must change.
    Sanic._startup: {"signalize", "finalize", "run", "is_started"},
    SignalRouter.finalize: {"ctx", "loop", "get_running_loop", "waiters"},
    HttpProtocol.check_timeouts: {"_http", "_task", "exception", "stage", "response_timeout"},
}


def check_shape() -> None:
    """Raises ``RuntimeError`` when Sanic's methods no longer use what the guard relies on."""
    missing = [
        f"{method.__qualname__}: {name}"
        for method, names in _SHAPE.items()
        for name in sorted(names - set(method.__code__.co_names))
    ]
    if missing:
        raise RuntimeError(
            f"Sanic {sanic.__version__} is not of the shape the guard was written for"
            f" (25.12); it lacks {', '.join(missing)}. Install the version the gateway requires."
        )
