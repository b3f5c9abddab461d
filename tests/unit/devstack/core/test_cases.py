"""The documents in ``tests/cases``: each gives the blocks that a reader of the file sees."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from devstack.core.chunking import split
from devstack.core.reading.blocks import Block, Kind, ReadDocument
from devstack.core.reading.faults import Unreadable
from devstack.core.reading.formats import DOCX, HTML, MARKDOWN, PDF, TEXT, read_document
from devstack.core.reading.nodes import Passage

DOCUMENTS = Path(__file__).parents[3] / "cases/documents"
TYPES = {".docx": DOCX, ".html": HTML, ".md": MARKDOWN, ".pdf": PDF, ".txt": TEXT}


def read(name: str) -> ReadDocument:
    return read_document(DOCUMENTS / name, TYPES[Path(name).suffix])


def passages(name: str) -> list[Passage]:
    return [chunk.passage for chunk in split("d", read(name), threading.Event())]


def texts(blocks: tuple[Block, ...]) -> list[str]:
    return [block.text for block in blocks]


# The whole text of a file that is one paragraph, as its reader sees it.
PARAGRAPHS = {
    "accents.txt": "The café is run by Mrs Müller. Señor Núñez bakes the bread.",
    "bidi.txt": "The \u202efee\u202c is 40 crowns. Price\u200b list\ufeff: 12 crowns.",
    "br.html": "Harbour office\nQuay 5\n1234 Tidewater\nPhone 555 0199",
    "document2.docx": "The library opens at ten every morning.",
    "gb2312-label.html": "鎔基大厦的租金是每月五千元。",
    "head-unclosed.html": "The visiting fee is 40 crowns in the summer.",
    "hidden.html": "The fee is 40 crowns since May.",
    "hyphenation.pdf": (
        "The harbour administration publishes its maintenance schedule on Tuesday."
    ),
    "inline-wrappers.docx": (
        "The monthly rent is 950 crowns and it is due on the third day in Lisbon by transfer."
    ),
    "invisible-text.pdf": "The harbour fee is 40 crowns.",
    "latin1-label.html": "The guest’s fee is €40 – “plus tax”.",
    "ligatures.txt": "The oﬃce ﬁles the ﬂoor plan on Friday. The cat sleeps.",
    "mixed-scan.pdf": "Cover page of the tide tables.",
    "nbsp.txt": "The\xa0harbour\xa0fee is 40\u202f000 crowns.",
    "shy.html": "Die Donau\xaddampf\xadschiff\xadfahrts\xadgesellschaft hat 40 Schiffe.",
    "shy.txt": "The mainte\xadnance window is on Tuesday.",
    "strict.docx": "The library opens at ten every morning.",
    "top-rel.docx": "The library opens at ten every morning.",
    "turkish.txt": "İstanbul en büyük şehirdir. ISPARTA gülleriyle ünlüdür.",
    "u2028.txt": (
        "First line of a poem\u2028second line of the poem\u2029The poem ends here."
        "\x85Next line by NEL."
    ),
    "underscore.txt": "The _Beagle_ sailed in 1831. The _Endeavour_ sailed in 1768.",
    "utf16-label.html": "The visiting fee is 40 crowns in the summer.",
    "utf16-nobom.txt": "The opening fee is 40 crowns.",
    "win1252.txt": "The café’s opening fee is €40 – paid by “guests”.",
    "xuser.html": "会議室の利用料は1時間500円です。",
}


@pytest.mark.parametrize("name", PARAGRAPHS)
def test_paragraph_has_the_files_own_characters(name: str) -> None:
    """Encodings, hidden parts, wrappers and line ends: what is left is what a reader sees."""
    assert texts(read(name).blocks) == [PARAGRAPHS[name]]


@pytest.mark.parametrize(
    "name",
    [
        *("arabic-vocalised.txt", "cpp.txt", "emoji.txt", "french.txt", "fullwidth.txt"),
        *("german.txt", "greek.txt", "hindi.txt", "long-sentence.txt", "nfd.txt", "russian.txt"),
        *("nfd-korean.txt", "single.txt"),
    ],
)
def test_plain_paragraph_is_kept_whole(name: str) -> None:
    """Text that is already right is not changed in any letter, and one passage holds it."""
    (passage,) = passages(name)
    assert passage.text == (DOCUMENTS / name).read_text("utf-8").strip()


def test_cells_of_a_word_table_keep_their_columns() -> None:
    """Equal cells are not one, empty ones keep their place, and each row knows the columns."""
    header, aula, barn, _ = read("table-equal-cells.docx").blocks
    assert (header.kind, header.cells) == (Kind.TABLE_HEADER, ("Room", "Jan", "Feb", "Mar"))
    assert (aula.text, aula.header) == ("Aula · 10 · 10 · 25", header.cells)
    assert (barn.text, barn.cells) == ("Barn · (empty) · 7 · 7", ("Barn", "", "7", "7"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sdt-block.docx", "The contract partner is Northwind Shipping."),
        ("textbox.docx", "Warning: the bridge closes at nine."),
    ],
)
def test_word_text_in_containers_is_read(name: str, expected: str) -> None:
    """What stands in content controls and text boxes is text."""
    assert expected in texts(read(name).blocks)


def test_word_numbers_are_counted() -> None:
    """The numbers that Word shows are not in the file's text, and are part of what is read."""
    assert texts(read("numbering.docx").blocks) == [
        *("1. Check the anchor.", "2. Lower the sail.", "3. Signal the harbour.")
    ]


@pytest.mark.parametrize(
    ("name", "heading", "answer"),
    [
        ("headings.docx", "Refunds", "Money is paid back within thirty days."),
        ("faq.md", "How do I renew my card?", "Go to the desk with your old card."),
        ("faq.html", "May I bring a dog?", "Yes, on a leash."),
        ("harbour.md", "Season", "It opens in April\xa0— weather permitting.[1]"),
    ],
)
def test_heading_stays_with_what_follows_it(name: str, heading: str, answer: str) -> None:
    """What answers a heading is found with it, in a section of that name."""
    (passage,) = [passage for passage in passages(name) if answer in passage.text]
    assert texts(passage.blocks)[:2] == [heading, answer]
    assert passage.section[-1] == heading


@pytest.mark.parametrize(
    ("name", "row", "header"),
    [
        ("table.html", "Bellows · 95 EUR · 4 kg", ("Product", "Price", "Weight")),
        ("nested-table.html", "Bellows · 95 EUR · 4 kg", ("Product", "Price", "Weight")),
        ("leading-junk.pdf", "Bellows · 95 EUR · 4 kg", ("Product", "Price", "Weight")),
        ("harbour.md", "Yacht · 40 · 200", ("Boat", "Fee", "Deposit")),
        ("htmlin.md", "Ferry fare · 12 crowns", ()),
        ("pre.html", "Pier 2   closed", ()),
        ("table.txt", "2024-01-23, ship23, 230 crowns", ("date", "ship", "toll")),
        ("data.txt", '{"id": 7, "name": "item7", "price": 21}', ("id", "name", "price")),
    ],
)
def test_row_is_a_unit_that_knows_its_columns(name: str, row: str, header: tuple[str, ...]) -> None:
    """No row is cut, and none is without the names of its columns."""
    (found,) = [block for block in read(name).blocks if block.text == row]
    assert (found.kind, found.header) == (Kind.TABLE_ROW, header)
    assert any(row in texts(passage.blocks) for passage in passages(name))


def test_passage_in_the_middle_of_a_table_begins_with_its_header() -> None:
    """A long table has its header in each passage."""
    found = passages("table.txt")
    assert len(found) > 1
    assert {passage.blocks[0].text for passage in found} == {"date, ship, toll"}


def test_records_of_json_are_never_cut() -> None:
    """All records are there, each whole."""
    records = [block for passage in passages("data.txt") for block in passage.blocks]
    assert [record.cells[0] for record in records] == [str(n) for n in range(len(records))]
    assert all(record.text.startswith("{") and record.text.endswith("}") for record in records)


def test_list_items_have_their_lead_in() -> None:
    """The list is found with the sentence that introduces it."""
    items = [block for block in read("list.md").blocks if block.kind is Kind.LIST_ITEM]
    assert [item.text for item in items] == ["passport", "proof of insurance", "boat registration"]
    assert {item.lead_in for item in items} == {"For a mooring permit bring:"}


def test_lines_of_a_log_are_units() -> None:
    """Who said what is not mixed up."""
    assert texts(read("log.txt").blocks)[1] == "09:01 bob: the ferry leaves at noon"
    assert len(read("log.txt").blocks) == 4


def test_markdown_gives_what_its_page_shows() -> None:
    """No front matter, no comments and no marks; names with underscores, code and numbers stay."""
    found = texts(read("harbour.md").blocks)
    assert not [text for text in found if "99 crowns" in text or "Nobody" in text]
    assert "Boats longer than ten metres pay double the mooring fee." in found
    assert (
        "The Beagle is exempt. Set __init__ and MAX_DEPTH in harbour_config.py."
        ' Call print("*") twice.'
    ) in found
    assert "# Compute the anchorage\ndef anchorage(depth):\n    return depth * __factor__" in found
    steps = ["1. Check the anchor.", "2. Lower the sail.", "3. Signal the harbour."]
    assert [text for text in found if text in steps] == steps


def test_columns_are_read_one_after_the_other() -> None:
    """A line of the left column does not go on in the right one."""
    assert texts(read("two-columns.pdf").blocks) == [
        "The committee reviewed the annual report and found no errors in it.",
        "Visitors approved the new budget for the coming fiscal year.",
    ]


def test_page_that_could_not_be_read_is_told() -> None:
    """A scan between pages of text does not go missing silently."""
    assert read("mixed-scan.pdf").warnings == (
        "Page 2 of 2 could not be read: it has no text layer. Run text recognition (OCR) on it.",
    )


def test_guessed_encoding_is_told() -> None:
    """A text that is not UTF-8 is read, and its owner learns that it was a guess."""
    (warning,) = read("win1252.txt").warnings
    assert "windows-1252" in warning


def test_broken_markup_is_read_in_linear_time() -> None:
    """A page of nothing but tags that never end has no text, and is not looked at for hours."""
    with pytest.raises(Unreadable, match="no text"):
        read("open-tags.html")


def test_every_case_has_a_test() -> None:
    """No file lies in the folder for nothing."""
    source = Path(__file__).read_text("utf-8")
    assert not [path.name for path in DOCUMENTS.iterdir() if f'"{path.name}"' not in source]
