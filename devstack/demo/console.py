"""The console's address with a token of a few minutes in it, and the browser that opens it.

The token stands in the fragment, which no browser sends to a server; the console takes it out of
the address at once. Until then it is in the browser's command line, which every process of this
machine can read: so it lives for minutes only, and is another one than the curl lines'.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import TextIO

import jwt

TOKEN_LIFE_S = 10 * 60


def address(base_url: str, token: str) -> str:
    return f"{base_url}/console#token={token}"


def short_token(token: str, jwt_secret: str, now: float | None = None) -> str:
    """A token of the same login, with an id and an end of its own, signed as the gateway signs.

    Args:
        token: a token that the gateway gave out, fresh.
        jwt_secret: the gateway's ``GATEWAY_JWT_SECRET``, which the demo made.
        now: Unix seconds.
    """
    claims = jwt.decode(token, options={"verify_signature": False})
    issued_at = int(time.time() if now is None else now)
    claims |= {"iat": issued_at, "nbf": issued_at, "exp": issued_at + TOKEN_LIFE_S}
    claims["jti"] = secrets.token_urlsafe(16)
    return jwt.encode(claims, jwt_secret, "HS256")


def can_open(out: TextIO, environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether a person sits before this output, at a machine that shows windows.

    Over SSH a browser would open where nobody looks, or draw in the terminal.
    """
    if not out.isatty() or any(
        environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT")
    ):
        return False
    named = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return platform == "darwin" or any(environ.get(name) for name in named)


def open_in_browser(url: str) -> subprocess.Popen[bytes] | None:
    """Starts the user's browser, which outlives the demo. Where there is none, nothing happens.

    In a process of its own: some browsers are waited for until they end, and some write into the
    terminal. Without it a browser that draws in a terminal ends at once.
    """
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "webbrowser", "-t", url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        # No memory or no process to be had: the address is on the screen all the same.
        return None
