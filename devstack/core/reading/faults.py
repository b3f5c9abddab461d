"""Why a file cannot be read, and the limits that every format shares."""

from __future__ import annotations

TEXT_LIMIT_CHARS = 10_000_000
MARKUP_LIMIT_BYTES = 64 * 1024 * 1024
# What is said of each block beside its text takes memory too, in every process that has it.
MOST_BLOCKS = 400_000
CPU_LIMIT_S = 90
MEMORY_LIMIT_BYTES = 1536 * 1024 * 1024


class Unreadable(Exception):
    """The file cannot be read and a retry would not help; the message is for its owner."""


def too_much_text() -> Unreadable:
    return Unreadable(
        f"The file has too much text: more than {TEXT_LIMIT_CHARS:,} characters."
        " Split it into several files."
    )


def too_many_blocks() -> Unreadable:
    return Unreadable(
        f"The file has too many rows or paragraphs: more than {MOST_BLOCKS:,}."
        " Split it into several files."
    )


def nested_too_deeply() -> Unreadable:
    return Unreadable("The file's elements are nested too deeply to be read.")
