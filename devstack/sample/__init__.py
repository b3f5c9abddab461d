"""The documents the demo uploads when it is given none, written for it; all of it is invented."""

from pathlib import Path

_HERE = Path(__file__).parent
SAMPLE = _HERE / "tidewater-library-handbook.md"
SAMPLES = (
    SAMPLE,
    _HERE / "tidewater-library-fees.html",
    _HERE / "tidewater-library-notices.pdf",
)
QUESTION = "How many books may a member borrow, and for how long?"
# Answered with a sentence, a row of a table, a list, and a page of a PDF.
QUESTIONS = (
    QUESTION,
    "What does a replacement card cost?",
    "What must I bring to join the library?",
    "When does the ship go into dry dock?",
)
