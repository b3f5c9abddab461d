"""From bytes to text: byte order marks, the web's encoding labels, and a guess."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import charset_normalizer
import webencodings  # type: ignore[import-untyped]

from devstack.core.reading.faults import MARKUP_LIMIT_BYTES, Unreadable

GUESS_BYTES = 256 * 1024
_UTF_16_ZEROS = 0.4  # of the bytes that are zero when a text is mostly Latin
_LABEL_WITHIN = 4096  # browsers look at 1,024 bytes; some pages have it later

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_META = re.compile(rb"<meta\b[^>]{0,500}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.I)
_XML = re.compile(rb"\A\s*<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([A-Za-z0-9_.:-]{1,40})", re.I)
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.S)
# What a guess chooses from, the most common one first: the encodings of the web and of Windows.
_GUESSES = (
    *("cp1252", "cp1251", "cp932", "gb18030", "big5", "cp949", "euc_jp", "cp1250", "cp1253"),
    *("cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "koi8_r", "koi8_u"),
)
# So many characters without a blank, of scripts that write blanks between words: in no text are
# most of these other than ASCII (which may be an address, or data).
_NO_BLANK = re.compile(r"[^ \t\r\n\u0e00-\u0eff\u2e80-\U0010ffff]{80}")
_NAMES = {"cp932": "Shift_JIS", "cp949": "EUC-KR"} | {
    f"cp{number}": f"windows-{number}" for number in (874, *range(1250, 1259))
}


def bounded_bytes(path: Path) -> bytes:
    """A file's bytes; it is refused when there are too many."""
    with path.open("rb") as file:
        raw = file.read(MARKUP_LIMIT_BYTES + 1)
    if len(raw) > MARKUP_LIMIT_BYTES:
        raise Unreadable(
            f"The file is too large to read as text: more than {MARKUP_LIMIT_BYTES // 1024**2} MiB."
        )
    return raw


def decode_text(raw: bytes) -> tuple[str, str | None]:
    """A text file's text, and a warning when its encoding had to be guessed."""
    known = _by_mark(raw) or _as_utf_8(raw) or _utf_16_without_mark(raw)
    if known is not None:
        return _checked(known), None
    return _guessed(raw)


def decode_html(raw: bytes) -> tuple[str, str | None]:
    """A page's text as a browser decodes it, by mark, label, or else a guess; and a warning."""
    marked = _by_mark(raw)
    if marked is not None:
        return _checked(marked), None
    label = _label(raw)
    if label is None:
        return decode_text(raw)
    encoding = webencodings.lookup(label)
    # Browsers ignore a label that they do not know.
    return decode_text(raw) if encoding is None else _labelled(raw, encoding.name)


def _label(raw: bytes) -> str | None:
    head = _COMMENT.sub(b"", raw[:_LABEL_WITHIN])
    found = _META.search(head) or _XML.search(head)
    return found.group(1).decode("ascii") if found else None


def _labelled(raw: bytes, name: str) -> tuple[str, str | None]:
    # A label that could be read as ASCII cannot be right when it says UTF-16; the web's rule.
    name = {"utf-16le": "utf-8", "utf-16be": "utf-8", "x-user-defined": "windows-1252"}.get(
        name, name
    )
    encoding = webencodings.lookup(name)
    assert encoding is not None
    text, _ = webencodings.decode(raw, encoding, "replace")
    lost = text.count("\ufffd") - raw.count("\ufffd".encode())
    warning = f"{lost:,} characters could not be decoded as {name}." if lost > 0 else None
    return _checked(text), warning


def _by_mark(raw: bytes) -> str | None:
    for mark, name in _BOMS:
        if raw.startswith(mark):
            return _decoded(raw, name)
    return None


def _decoded(raw: bytes, name: str) -> str:
    try:
        return raw.decode(name)
    except UnicodeError as fault:
        shown = name.removesuffix("-sig").upper()
        raise Unreadable(
            f"The text cannot be decoded as {shown}. Save it as UTF-8 and upload it again."
        ) from fault


def _as_utf_8(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8") if b"\x00" not in raw else None
    except UnicodeDecodeError:
        return None


def _utf_16_without_mark(raw: bytes) -> str | None:
    """A text whose every other byte is mostly zero: UTF-16, as some Windows programs write it."""
    sample = raw[: GUESS_BYTES // 2 * 2]
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = sample[offset::2].count(0), sample[1 - offset :: 2].count(0)
        if len(raw) % 2 == 0 and zeros > _UTF_16_ZEROS * len(sample) / 2 and not others:
            return _decoded(raw, name)
    return None


def _guessed(raw: bytes) -> tuple[str, str]:
    if b"\x00" in raw:
        raise _not_a_text()
    name = _likeliest(raw[:GUESS_BYTES])
    if name is None or not _has_words(raw[:GUESS_BYTES].decode(name, "replace")):
        raise Unreadable(
            "The text is not UTF-8, and its encoding could not be told."
            " Save it as UTF-8 and upload it again."
        )
    return _checked(raw.decode(name, "replace")), (
        f"The text is not UTF-8; its encoding was guessed to be {_NAMES.get(name, name)}."
        " Save it as UTF-8 and upload it again if letters are wrong."
    )


def _likeliest(sample: bytes) -> str | None:
    """The guess; where others would give the same text, the one that is most common."""
    best = charset_normalizer.from_bytes(sample, cp_isolation=list(_GUESSES)).best()
    if best is None:
        return None
    return next((name for name in _GUESSES if name in best.could_be_from_charset), best.encoding)


def _has_words(text: str) -> bool:
    """Whether a guess gave words: any bytes are letters in some encoding."""
    return all(_mostly_ascii(run[0]) for run in _NO_BLANK.finditer(text))


def _mostly_ascii(text: str) -> bool:
    return 2 * sum(map(str.isascii, text)) > len(text)


def _checked(text: str) -> str:
    if "\x00" in text:
        raise _not_a_text()
    return text


def _not_a_text() -> Unreadable:
    return Unreadable("The file is not a text, although it was announced as one.")
