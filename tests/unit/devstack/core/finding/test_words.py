"""What is a word, and which question finds which document."""

from __future__ import annotations

import pytest

from devstack.core.finding.languages import language_of
from devstack.core.finding.wanted import (
    AS_WRITTEN,
    BY_STEM,
    question_terms,
    wanted,
)
from devstack.core.finding.words import entries, entries_of, words


def best(document: str, question: str, language: str = "en") -> float:
    """The weight of the best way in which the document has the question's first word."""
    known = set(entries(document, language))
    first = wanted(question, (language,))[0]
    return max((weight for entry, weight in first.forms if entry in known), default=0.0)


SAME = [
    ("Vo\u0308lkerkunde", "Völkerkunde"),
    ("도서관".encode().decode(), "도서"),
    ("\u1103\u1169\u1109\u1165\u1100\u116a\u11ab", "도서"),
    ("ＡＢＣ１２３", "abc123"),
    ("ﾃﾚﾋﾞ", "テレビ"),
    ("oﬃce", "office"),
    ("mainte\u00adnance", "maintenance"),
    ("mainte-\nnance", "maintenance"),
    ("mainte\u200bnance", "maintenance"),
    ("harbour\u00a0fee", "fee"),
    ("İstanbul", "istanbul"),
    ("istanbul", "İSTANBUL"),
    ("ISPARTA", "isparta"),
    ("STRASSE", "Straße"),
    ("दिल्ली", "दिल्ली"),
    ("rule 7", "7"),
    ("C# runs", "C#"),
    ("use C++ here", "c++"),
    ("__init__", "__init__"),
    ("_Beagle_ sailed", "Beagle"),
    ("INV-2024-07", "inv-2024-07"),
    ("room १२", "12"),
    ("the hotel\u2019s bar", "hotel"),
    ("l\u2019hôtel", "hôtel"),
    ("getUserName()", "getUserName"),
    ("🍵 is tea", "🍵"),
    ("绿茶很好", "绿茶"),
    ("ห้องสมุดเปิด", "ห้อง"),
]


@pytest.mark.parametrize(("document", "question"), SAME)
def test_what_looks_the_same_is_the_same(document: str, question: str) -> None:
    """Forms of Unicode, case, width, ligatures, and what cannot be seen make no difference."""
    assert best(document, question) == AS_WRITTEN


WEAKER = [
    ("Müller", "Muller", "de"),
    ("Müller", "Mueller", "de"),
    ("Muller", "Müller", "de"),
    ("Señor Núñez", "senor", "es"),
    ("φάρος", "ΦΑΡΟΣ", "el"),
    ("ISPARTA", "ısparta", "tr"),
    ("المَنارَةُ", "المنارة", "ar"),
    ("أحمد", "احمد", "ar"),
    ("ёлка", "елка", "ru"),
    ("Łódź", "Lodz", "pl"),
]


@pytest.mark.parametrize(("document", "question", "language"), WEAKER)
def test_accents_and_vowel_points_may_be_left_out_but_count(
    document: str, question: str, language: str
) -> None:
    """A word without its accents is found, after one that has them."""
    assert 0 < best(document, question, language) < AS_WRITTEN


STEMMED = [
    ("The books are here", "book", "en"),
    ("Книги возвращают", "книга", "ru"),
    ("Die Fristen", "Frist", "de"),
    ("les bibliothèques", "bibliothèque", "fr"),
    ("बिल्लियों", "बिल्लियाँ", "hi"),
    ("kirjoja", "kirjoissa", "fi"),
    ("הספרייה נפתחת", "ספרייה", "he"),
]


@pytest.mark.parametrize(("document", "question", "language"), STEMMED)
def test_inflected_words_are_found_in_their_language(
    document: str, question: str, language: str
) -> None:
    """By the stemmer of the document's language."""
    assert best(document, question, language) == BY_STEM or any(
        best(document, word, language) == BY_STEM for word in words(question)
    ), (entries(document, language), wanted(question, (language,)))


def test_letter_is_not_the_name_that_begins_with_it() -> None:
    """Who asks for C does not mean C++, but finds it when there is nothing else."""
    assert best("C is old", "C") == AS_WRITTEN
    assert 0 < best("C++ is old", "C") < AS_WRITTEN


def test_language_without_a_stemmer_finds_by_the_beginning_of_long_words() -> None:
    """Polish and Czech have many endings too."""
    assert best("W bibliotece", "bibliotece", "pl") > 0
    known = set(entries("w bibliotece", "pl"))
    for form in ("biblioteka", "bibliotek", "biblioteką"):
        assert any(e in known for e, _ in wanted(form, ("pl",))[0].forms), form
    assert not any(e in known for e, _ in wanted("biblistyka", ("pl",))[0].forms)


@pytest.mark.parametrize(
    ("document", "question"),
    [
        ("harbour_config.py", "config"),
        ("INV-2024-07", "2024"),
        ("getUserName", "user"),
        ("user@example.org", "example"),
        ("a well-known place", "wellknown"),
        ("40\u202f000 crowns", "40000"),
        ("40,000 crowns", "40.000"),
        ("1 250 000 crowns", "1250000"),
    ],
)
def test_names_and_numbers_are_found_whole_and_in_parts(document: str, question: str) -> None:
    """Who remembers a part of a name finds it; a number is the same however it is grouped."""
    assert best(document, question) > 0


@pytest.mark.parametrize(
    ("document", "question"),
    [
        ("C++ is old", "C#"),
        ("3.50", "350"),
        ("दिल", "दिल्ली"),
        ("fees", "feels"),
        ("Vitamin A", "C"),
    ],
)
def test_different_words_stay_different(document: str, question: str) -> None:
    """A normal form that is too strong finds everything."""
    known = set(entries(document, "en"))
    assert not any(entry in known for entry, _ in wanted(question, ("en",))[0].forms)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the boiling point of water?", "boiling point water"),
        ("What is C#?", "C#"),
        ("Wann öffnet die Bibliothek?", "öffnet Bibliothek"),
        ("Combien coûte l'entrée du musée ?", "coûte l'entrée musée"),
        ("¿Cuándo abre la biblioteca?", "abre biblioteca"),
        ("Когда открывается библиотека?", "открывается библиотека"),
        ("Πότε ανοίγει η βιβλιοθήκη;", "ανοίγει βιβλιοθήκη"),
        ("दिल्ली क्या है?", "दिल्ली"),
        ("متى تغلق المكتبة؟", "تغلق المكتبة"),
        ("会议室多少钱？", "会议室 钱"),
    ],
)
def test_question_terms_are_its_content_words(question: str, expected: str) -> None:
    """Words that only hold a question together are not looked for, in any language."""
    assert question_terms(question, None) == expected


def test_follow_up_without_content_words_takes_the_earlier_terms() -> None:
    """ "And why is that?" is about what was asked before, but only then."""
    assert question_terms("And why is that?", "boiling water") == "boiling water"
    assert question_terms("And ice?", "boiling water") == "ice"
    assert question_terms("Who?", None) == "Who"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The office is open on Monday and the shop is closed.", "en"),
        ("Die Miete beträgt 950 Euro im Monat.", "de"),
        ("L'ouverture de la bibliothèque est à neuf heures.", "fr"),
        ("İstanbul en büyük şehirdir.", "tr"),
        ("Η βιβλιοθήκη ανοίγει", "el"),
        ("図書館は九時に開きます。", "ja"),
        ("图书馆九点开门。", "zh"),
        ("도서관은 아침 아홉 시에", "ko"),
        ("ห้องสมุดเปิด", "th"),
        ("Бібліотека відкривається о дев'ятій годині", "uk"),
        ("दिल्ली भारत की राजधानी है।", "hi"),
        ("12 34 -- 56", "en"),
    ],
)
def test_language_is_recognised(text: str, language: str) -> None:
    """By its script, by its function words, or by the model."""
    assert language_of(text) == language


@pytest.mark.parametrize("question", ["What is ____?", "fill _ in", "_", "＿＿"])
def test_line_to_fill_in_is_no_word_to_look_for(question: str) -> None:
    """What is asked beside it is found."""
    terms = question_terms(question, None)
    assert "_" not in {one.word[:1] for one in wanted(terms, ("en", "tr"))}


def test_only_words_that_may_be_words_are_remembered() -> None:
    """A file of endless words must not fill the memory with what was found for each."""
    short, long = "marrow" * 8, "marrow" * 400
    assert entries_of(short, "en") is entries_of(short, "en")
    assert entries_of(long, "en") == entries_of(long, "en")
    assert entries_of(long, "en") is not entries_of(long, "en")
