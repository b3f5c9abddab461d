"""The document the demo uploads when it is given none, written for it; all of it is invented."""

from pathlib import Path

SAMPLE = Path(__file__).with_name("tidewater-library-handbook.md")
QUESTION = "How many books may a member borrow, and for how long?"
