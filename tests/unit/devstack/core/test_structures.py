"""Structures of each format, beyond those in ``tests/cases``."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from docx import Document

from devstack.core.reading.blocks import Block, Kind
from devstack.core.reading.formats import DOCX, HTML, PDF, TEXT, read_document
from tests.unit.devstack.core.sample_files import docx_part, drawn, drawn_pdf

LEFT = ("The ferry company announced that", "it will add two more boats in the", "summer.")
RIGHT = ("The museum opens a new wing this", "spring with paintings from the", "north.")
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SHAPES = "http://schemas.microsoft.com/office/word/2010/wordprocessingShape"
COMPATIBLE = "http://schemas.openxmlformats.org/markup-compatibility/2006"
MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"


def read(tmp_path: Path, raw: bytes | str, content_type: str) -> list[Block]:
    path = tmp_path / "file"
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    return list(read_document(path, content_type).blocks)


def texts(blocks: list[Block]) -> list[str]:
    return [block.text for block in blocks]


def word(body: str) -> bytes:
    spaces = f'xmlns:w="{WORD}" xmlns:wps="{SHAPES}" xmlns:mc="{COMPATIBLE}" xmlns:m="{MATH}"'
    return docx_part(f"<w:document {spaces}><w:body>{body}</w:body></w:document>")


def paragraph(inside: str) -> str:
    return f"<w:p>{inside}</w:p>"


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


# PDF


def test_columns_stand_between_lines_over_the_whole_width(tmp_path: Path) -> None:
    """A title above two columns and a line below them keep their places."""
    page = [drawn(150, 760, "A title across both columns of the page", 16)]
    page += [drawn(60, 720 - 14 * n, line) for n, line in enumerate(LEFT)]
    page += [drawn(320, 722 - 14 * n, line) for n, line in enumerate(RIGHT)]
    page += [drawn(60, 600, "A closing line that spans the whole width of the page, below both.")]
    assert texts(read(tmp_path, drawn_pdf("\n".join(page)), PDF)) == [
        "A title across both columns of the page",
        " ".join(LEFT),
        " ".join(RIGHT),
        "A closing line that spans the whole width of the page, below both.",
    ]


def test_table_of_a_pdf_has_its_rows_and_header(tmp_path: Path) -> None:
    """By where the cells stand, an empty one too; what is above and below is not part of it."""
    rows = [("Boat", "Length", "Fee"), ("Dinghy", "4 m", "5 EUR"), ("Barge", "", "95 EUR")]
    page = [drawn(60, 760, "Fees", 16), drawn(60, 730, "The fees of the year:")]
    for n, row in enumerate(rows):
        page += [drawn(x, 700 - 18 * n, c) for x, c in zip((60, 250, 400), row, strict=True) if c]
    page += [drawn(60, 600, "1."), drawn(80, 600, "Check the anchor and")]
    page += [drawn(80, 586, "the chain."), drawn(60, 572, "2."), drawn(80, 572, "Lower the sail.")]
    blocks = read(tmp_path, drawn_pdf("\n".join(page)), PDF)
    assert texts(blocks) == [
        *("Fees", "The fees of the year:", "Boat · Length · Fee", "Dinghy · 4 m · 5 EUR"),
        *("Barge · (empty) · 95 EUR", "1. Check the anchor and the chain.", "2. Lower the sail."),
    ]
    assert blocks[4].header == ("Boat", "Length", "Fee")
    assert [block.kind for block in blocks[-2:]] == [Kind.LIST_ITEM] * 2
    assert blocks[-1].section == ("Fees",)


def test_what_a_page_of_a_pdf_does_not_show_is_not_read(tmp_path: Path) -> None:
    """White on white, invisible or outside the page; white on a coloured ground is shown."""
    page = [
        drawn(60, 700, "Shown."),
        "1 1 1 rg",
        drawn(60, 680, "White on white."),
        "0 0 1 rg 50 640 300 25 re f 1 1 1 rg",
        drawn(60, 650, "White on blue."),
        "0 0 0 rg",
        drawn(60, -50, "Outside."),
        drawn(60, 600, "Invisible.").replace("Tf", "Tf 3 Tr"),
    ]
    assert texts(read(tmp_path, drawn_pdf("\n".join(page)), PDF)) == ["Shown.", "White on blue."]


def test_recognised_text_of_a_scan_is_read(tmp_path: Path) -> None:
    """It is invisible, but says what the picture that fills the page shows."""
    picture = "q 612 0 0 792 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID x EI Q"
    page = f"{picture} {drawn(60, 600, 'Recognised.').replace('Tf', 'Tf 3 Tr')}"
    assert texts(read(tmp_path, drawn_pdf(page), PDF)) == ["Recognised."]


def test_filled_form_of_a_pdf_is_read(tmp_path: Path) -> None:
    """What is filled in stands beside its label, though it is not in the page's own text."""
    field = (
        "<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V (Ann Smith) /F 4"
        " /Rect [120 690 300 712] /DA (/F1 11 Tf 0 g) /P 6 0 R >>"
    )
    form = (
        "/AcroForm << /Fields [4 0 R] /NeedAppearances true /DA (/F1 11 Tf 0 g)"
        " /DR << /Font << /F1 3 0 R >> >> >>"
    )
    raw = drawn_pdf(drawn(60, 697, "Tenant:"), more="/Annots [4 0 R]", catalog=form, extra=[field])
    assert " ".join(texts(read(tmp_path, raw, PDF))) == "Tenant: Ann Smith"


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_turned_page_is_read_as_it_is_seen(tmp_path: Path, turned: int) -> None:
    """The lines of a page that is shown turned come in the order in which they are seen."""
    matrix = {90: "0 1 -1 0 612 0", 180: "-1 0 0 -1 612 792", 270: "0 -1 1 0 0 792"}[turned]
    lines = f"{drawn(60, 560, 'First line.')} {drawn(60, 500, 'Second line.')}"
    raw = drawn_pdf(f"{matrix} cm {lines}", more=f"/Rotate {turned}")
    assert texts(read(tmp_path, raw, PDF)) == ["First line.", "Second line."]


# Word


def test_hidden_and_deleted_text_of_word_is_not_read(tmp_path: Path) -> None:
    """What Word shows is read, however it is wrapped."""
    raw = word(
        paragraph(
            run("Shown ") + run("HIDDEN", "<w:vanish/>") + run("on.", '<w:vanish w:val="0"/>')
        )
        + paragraph(f"<w:del>{run('DELETED')}</w:del><w:ins>{run('Inserted.')}</w:ins>")
        + paragraph(f"<w:fldSimple>{run('1 May')}</w:fldSimple><w:dir>{run(' is it.')}</w:dir>")
        + paragraph("<m:oMath><m:r><m:t>E=mc²</m:t></m:r></m:oMath>")
    )
    assert texts(read(tmp_path, raw, DOCX)) == ["Shown on.", "Inserted.", "1 May is it.", "E=mc²"]


def test_text_box_without_its_old_form_is_read(tmp_path: Path) -> None:
    """New programs write it only once."""
    box = f"<wps:txbx><w:txbxContent>{paragraph(run('In the box.'))}</w:txbxContent></wps:txbx>"
    choice = f'<mc:Choice Requires="wps"><w:drawing>{box}</w:drawing></mc:Choice>'
    raw = word(
        paragraph(
            f"<w:r><mc:AlternateContent>{choice}</mc:AlternateContent></w:r>" + run("Beside.")
        )
    )
    assert sorted(texts(read(tmp_path, raw, DOCX))) == ["Beside.", "In the box."]


def test_numbers_of_word_go_on_and_headings_are_told_by_level(tmp_path: Path) -> None:
    """A list that is interrupted goes on; a paragraph may be a heading without a style."""
    document = Document()
    for text in ("First", "Second"):
        document.add_paragraph(text, style="List Number")
    document.add_paragraph("In between.")
    document.add_paragraph("Third", style="List Number")
    document.add_heading("Scope", 2)
    out = io.BytesIO()
    document.save(out)
    blocks = read(tmp_path, out.getvalue(), DOCX)
    assert texts(blocks) == ["1. First", "2. Second", "In between.", "3. Third", "Scope"]
    assert (blocks[-1].kind, blocks[-1].level) == (Kind.HEADING, 2)
    outline = '<w:pPr><w:outlineLvl w:val="1"/></w:pPr>'
    (heading,) = read(tmp_path, word(paragraph(outline + run("By itself"))), DOCX)
    assert (heading.kind, heading.level) == (Kind.HEADING, 2)


def test_merged_cells_of_word_name_each_column(tmp_path: Path) -> None:
    """A merged cell is seen once, and stands above each of its columns."""
    document = Document()
    table = document.add_table(3, 3)
    for row, cells in enumerate([["Kind", "2023", ""], ["", "Q1", "Q2"], ["Tea", "10", "20"]]):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    table.cell(0, 1).merge(table.cell(0, 2))
    out = io.BytesIO()
    document.save(out)
    blocks = read(tmp_path, out.getvalue(), DOCX)
    assert texts(blocks) == ["Kind · 2023", "(empty) · Q1 · Q2", "Tea · 10 · 20"]
    assert blocks[-1].header == ("Kind", "2023 Q1", "2023 Q2")


# HTML


def test_what_a_style_sheet_hides_is_not_read(tmp_path: Path) -> None:
    """By class or id, in order; not what is hidden in print only."""
    raw = """<style>.x{display:none} #y{visibility:hidden} .tab{display:none} .tab.on{display:block}
        @media print{.scr{display:none}}</style><p class=x>H<p id=y>H<p class="tab">H
        <p class="tab on">Shown tab.<p class=scr>On screen.<p style="font-size:0">H
        <p style="position:absolute;left:-9999px">H<p style="opacity: 0.5">Half."""
    assert texts(read(tmp_path, raw, HTML)) == ["Shown tab.", "On screen.", "Half."]


def test_spanning_cells_keep_the_columns(tmp_path: Path) -> None:
    """Two rows of names are one name a column; a cell over several rows is in each."""
    raw = """<table><tr><th rowspan=2>Kind<th colspan=2>2023<tr><th>Q1<th>Q2
        <tr><td rowspan=2>Tea<td>1<td>2<tr><td>3<td></table>"""
    blocks = read(tmp_path, raw, HTML)
    assert texts(blocks)[-2:] == ["Tea · 1 · 2", "Tea · 3 · (empty)"]
    assert blocks[-1].header == ("Kind", "2023 Q1", "2023 Q2")


def test_lists_of_html_have_numbers_and_lead_ins(tmp_path: Path) -> None:
    """As the page shows them: from their start, in their form, one list after the other."""
    raw = """<p>Bring:<ul><li>water</ul><ol start=3><li>three<ul><li>sub</ul><li>four</ol>
        <ol type=a><li>alpha</ol><dl><dt>Quay<dd>Where people walk.</dl>"""
    items = [block for block in read(tmp_path, raw, HTML) if block.kind is Kind.LIST_ITEM]
    assert [(item.text, item.level, item.lead_in) for item in items] == [
        ("water", 1, "Bring:"),
        *(("3. three", 1, ""), ("sub", 2, ""), ("4. four", 1, ""), ("a. alpha", 1, "")),
        ("Where people walk.", 1, "Quay"),
    ]


# Plain text


def test_layout_of_a_text_is_its_structure(tmp_path: Path) -> None:
    """Headings, lists, tables and addresses as people type them."""
    raw = (
        "OPENING HOURS\n\nWe are open from nine to\nfive.\n\nPrices\n------\n"
        "To apply you need:\n1. a form\n2. a photo\n   on paper\n\n"
        "Name\tAge\nAnn\t31\nBob\t\n\nHarbour Office\nQuay 5\n1234 Tidewater\n"
    )
    blocks = read(tmp_path, raw, TEXT)
    assert [(block.kind.value, block.text) for block in blocks] == [
        ("heading", "OPENING HOURS"),
        ("paragraph", "We are open from nine to\nfive."),
        ("heading", "Prices"),
        ("paragraph", "To apply you need:"),
        ("list_item", "1. a form"),
        ("list_item", "2. a photo\n   on paper"),
        ("table_header", "Name\tAge"),
        ("table_row", "Ann\t31"),
        ("table_row", "Bob"),
        ("paragraph", "Harbour Office\nQuay 5\n1234 Tidewater"),
    ]


def test_large_json_is_taken_apart_by_its_keys(tmp_path: Path) -> None:
    """A value that is too long to be one unit gives its entries, in a section of its name."""
    entries = ", ".join(f'{{"id": {n}, "fee": "{n} crowns"}}' for n in range(40))
    blocks = read(tmp_path, f'{{"harbour": "Bergen", "fees": [{entries}]}}', TEXT)
    assert blocks[0].text == '"harbour": "Bergen"'
    assert (blocks[8].text, blocks[8].section) == ('{"id": 7, "fee": "7 crowns"}', ("fees",))


def test_names_in_json_are_text_that_can_be_stored(tmp_path: Path) -> None:
    """JSON can spell half a surrogate pair, and control characters, in a name too."""
    long = "x" * 700
    blocks = read(tmp_path, f'{{"\\ud800 fees": {{"a": "{long}"}}}}', TEXT)
    record = r'{"\udc00a": 1, "b\u0000": 2}'
    rows = read(tmp_path, f"[{', '.join([record] * 40)}]", TEXT)
    assert blocks[0].section == ("fees",)
    assert {block.header for block in rows} == {("a", "b")}


@pytest.mark.parametrize("selectors", [".a:hover, .x", ".x,.a::before", ".b, .x"])
def test_rule_for_a_state_hides_what_it_lists_beside_it(tmp_path: Path, selectors: str) -> None:
    """A state is not how the page opens; the rest of the list is."""
    raw = f"<style>{selectors} {{display:none}}</style><p class=a>shown<p class=x>hidden"
    assert [block.text for block in read(tmp_path, raw, HTML)] == ["shown"]


HIDING = {
    "in media": "@media screen{.x{display:none}} ",
    "in all media": "@media all{@layer a{.x{display:none}}}",
    "in a layer": "@layer a{.x{display:none}}",
    "below the root": ":root .x{display:none}",
    "below html and body": "html body>.x{display:none}",
    "deep": ".out .in p.x{display:none}",
    "not": "p:not(.a):not(.b){display:none}",
    "transparent": ".x{color:transparent}",
    "no letters": ".x{font-size:0}",
    "see-through": ".x{opacity:0}",
    "no size": ".x{height:0;overflow:hidden}",
    "inset": ".x{clip-path:inset(100%)}",
    "clip": ".x{position:absolute;clip:rect(0,0,0,0)}",
    "away": ".x{position:absolute;left:-999em}",
    "indented": ".x{text-indent:-9999px}",
    "comment": ".x{display/**/:/*}*/none}",
    "escape": r".\78{d\69splay:n\6fne}",
    "important": ".x{display:none!important} p.x{display:block}",
    "specific": "p.x{display:none} .x{display:block}",
    "unlayered": ".x{display:none} @layer a{p.x{display:block}}",
}
NOT_HIDING = {
    "later": ".a{display:none} .a{display:block}",
    "specific": "p.a{display:block} .a{display:none}",
    "inline": "#s{display:none}",
    "print": "@media print{.a{display:none}}",
    "narrow": "@media (max-width:9px){.a{display:none}}",
    "wide": ".a{display:none} @media (min-width:9px){.a{display:block}}",
    "state": ".a:hover, p:not(:focus){display:none}",
    "other parent": "section .a, .in>.a{display:none}",
    "gap": "body{font-size:0} p{font-size:16px}",
    "seen in it": "body{visibility:hidden} p{visibility:visible}",
    "gradient": ".a{color:transparent;-webkit-background-clip:text}",
    "video": ".a{height:0;overflow:hidden;padding-bottom:56%}",
    "fades in": ".a{opacity:0;animation:fade 1s}",
    "unknown": ".a:bogus(1), .a..b{display:none}",
    "broken": "}} .b{ @media {{ ((",
    "text": ".q{content:'.a{display:none}'}",
}
SHEETS_PAGE = """<style>%s</style><body class=out><div class=in></div><p class=a>shown
    <p class=b id=s style="display:block">too<div class=in><p class=x>hidden</div>"""


@pytest.mark.parametrize("sheet", HIDING.values(), ids=HIDING)
def test_rule_that_hides_is_followed(tmp_path: Path, sheet: str) -> None:
    page = SHEETS_PAGE.replace("<div class=in><p class=x>", "<p class=x>")
    raw = (SHEETS_PAGE if ".in" in sheet else page) % sheet
    assert texts(read(tmp_path, raw, HTML)) == ["shown", "too"]


@pytest.mark.parametrize("sheet", NOT_HIDING.values(), ids=NOT_HIDING)
def test_rule_that_may_not_hide_loses_no_text(tmp_path: Path, sheet: str) -> None:
    assert texts(read(tmp_path, SHEETS_PAGE.replace("%s", sheet), HTML))[:2] == ["shown", "too"]


def test_elements_that_are_not_shown_are_not_read(tmp_path: Path) -> None:
    raw = """<style media=print>p{display:none}</style><p>shown<datalist><option>H</datalist>
        <noframes>H</noframes><template>H</template><div popover>H</div><dialog>H</dialog>
        <p hidden>H</p><p aria-hidden=true>seen<details><summary>more</summary>told</details>"""
    assert texts(read(tmp_path, raw, HTML)) == ["shown", "seen", "more", "told"]


def test_selectors_that_cannot_be_followed_cost_little_and_hide_nothing(tmp_path: Path) -> None:
    """Paths that a parser would try in all ways, deep nesting, and thousands of rules."""
    path = "i " + "div " * 30
    sheet = f"{path} p{{display:none}} {':not(' * 5000} {{}} " + "".join(
        f".c{n}{{display:none}}" for n in range(11_000)
    )
    raw = f"<style>{sheet}</style>" + "<div>" * 150 + "<p>shown" + "</div>" * 150
    assert texts(read(tmp_path, raw, HTML)) == ["shown"]
