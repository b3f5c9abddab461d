"""Small files of every kind the core reads, made where they are needed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

from docx import Document
from pypdf import PdfReader, PdfWriter

_FONT = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def pdf(*pages: str) -> bytes:
    """A PDF with a line of text on each page; an empty text gives a page with no text at all."""
    return drawn_pdf(*(drawn(50, 700, text, 12) if text else "0 0 10 10 re f" for text in pages))


def drawn(x: int, y: int, text: str, size: int = 11) -> str:
    """What draws a text on a page; ``y`` counts upwards."""
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"BT /F1 {size} Tf {x} {y} Td ({escaped}) Tj ET"


def drawn_pdf(*pages: str, more: str = "", catalog: str = "", extra: Sequence[str] = ()) -> bytes:
    """A PDF of pages by what draws them; ``more`` is in each page, ``extra`` objects from 4 on."""
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
        "",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        *extra,
    ]
    kids = []
    for stream in pages:
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources"
            f" << /Font << /F1 3 0 R >> >> /Contents {len(objects)} 0 R {more} >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    return _assembled(objects)


def _assembled(objects: list[str]) -> bytes:
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    return out + (head + table + trailer).encode()


def encrypted_pdf(text: str, password: str, algorithm: str = "RC4-128") -> bytes:
    """A PDF that asks for a password (an empty one: for changes only)."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(text))))
    writer.encrypt(password, "owner-password", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def docx(*paragraphs: str, table: list[list[str]] | None = None) -> bytes:
    """A Word document."""
    document = Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    if table is not None:
        rows = document.add_table(len(table), len(table[0]))
        for row, cells in zip(rows.rows, table, strict=True):
            for cell, text in zip(row.cells, cells, strict=True):
                cell.text = text
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def docx_bomb(unpacked_bytes: int, *, lie: bool = False) -> bytes:
    """A Word document whose text is one letter, very often; it may lie about its size."""
    source = zipfile.ZipFile(io.BytesIO(docx("x")))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for info in source.infolist():
            if info.filename != "word/document.xml":
                packed.writestr(info.filename, source.read(info))
        with packed.open("word/document.xml", "w", force_zip64=False) as part:
            for _ in range(unpacked_bytes // 1_000_000):
                part.write(b"a" * 1_000_000)
    raw = out.getvalue()
    return _with_false_size(raw, 1000) if lie else raw


def _with_false_size(raw: bytes, size: int) -> bytes:
    """Write another unpacked size for word/document.xml into the zip's directory and header."""
    data = bytearray(raw)
    with zipfile.ZipFile(io.BytesIO(raw)) as packed:
        info = packed.getinfo("word/document.xml")
    field = size.to_bytes(4, "little")
    data[info.header_offset + 22 : info.header_offset + 26] = field
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"word/document.xml"))
    data[entry + 24 : entry + 28] = field
    return bytes(data)


def workbook() -> bytes:
    """What an Excel workbook begins with."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("[Content_Types].xml", "<Types/>")
        packed.writestr("xl/workbook.xml", "<workbook/>")
    return out.getvalue()


def docx_part(xml: str, part: str = "word/document.xml") -> bytes:
    """A Word document with this XML as one of its parts."""
    source = zipfile.ZipFile(io.BytesIO(docx("x")))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in source.namelist():
            packed.writestr(name, xml if name == part else source.read(name))
    return out.getvalue()
