"""``docs/api.md`` says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.domain.strict_json import MAX_DEPTH
from gateway.edge.http import cors
from gateway.errors import by_code
from gateway.settings.model import SPECS

PAGE = (Path(__file__).parents[4] / "docs" / "api.md").read_text("utf-8")


def test_the_table_of_codes_is_the_tree_of_errors() -> None:
    """Each code once, with the status its class owns."""
    rows = re.findall(r"^\| (\d{3}) \| `([A-Z_]+)` \|", PAGE, re.M)
    told = {code: int(status) for status, code in rows}
    assert len(told) == len(rows)
    assert told == {code: cls.status for code, cls in by_code().items()}


def test_every_503_says_when_to_try_again() -> None:
    """The page promises it, so each class has a time of its own."""
    for cls in by_code().values():
        assert (cls.default_retry_after_s is not None) == (cls.status in (429, 503)), cls


def test_every_setting_it_names_exists() -> None:
    """A setting that was renamed would leave a reader with nothing."""
    named = set(re.findall(r"GATEWAY_[A-Z_]+", PAGE))
    assert named
    assert named <= {spec.env for spec in SPECS.values()}


def test_the_limits_are_the_defaults() -> None:
    """Numbers on the page are those of the settings and the code."""
    for setting, text in (
        ("body_limit", "1MiB"),
        ("form_limit", "64KiB"),
        ("form_parts", "16"),
        ("answer_limit", "8MiB"),
        ("upload_max_size", "1GiB"),
        ("compress_min_size", "1KiB"),
    ):
        assert SPECS[setting].default == text
    assert f"nested {MAX_DEPTH} deep" in PAGE


def test_the_headers_for_pages_are_those_of_cors() -> None:
    """What a page may send and read."""
    for name in (*cors.ALLOWED_HEADERS, *cors.EXPOSED_HEADERS):
        assert f"`{name.lower()}`" in PAGE.lower()
