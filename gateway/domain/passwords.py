"""What may be a password: the one rule of where an account is made and where one logs in."""

from __future__ import annotations

import unicodedata

# argon2 digests its whole input: a megabyte of "password" would be work given away for nothing.
PASSWORD_LIMIT_BYTES = 1024


def is_checkable(password: str) -> bool:
    """Whether a login may hand it to the password check: text, and not too long."""
    if len(password) > PASSWORD_LIMIT_BYTES:
        return False
    try:
        return len(password.encode("utf-8")) <= PASSWORD_LIMIT_BYTES
    except UnicodeEncodeError:  # A lone surrogate is no text.
        return False


def password_fault(password: str) -> str | None:
    """Why an account with this password could not be used, as ``"is not valid UTF-8"``.

    No body may hold a NUL, and no one can type most of the other control characters into a form.
    The text never holds any of the password.
    """
    if not password:
        return "is empty"
    try:
        size = len(password.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if size > PASSWORD_LIMIT_BYTES:
        return f"may have {PASSWORD_LIMIT_BYTES} bytes at most"
    if any(unicodedata.category(character) == "Cc" for character in password):
        return "has a control character, such as NUL, tab or line feed"
    return None
