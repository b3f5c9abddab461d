"""Whose request it is, by what trusted proxies say of it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.domain.forwarded import client_address, node_address

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
PROXY = "10.0.0.1"


def told(*forwarded: str, usual: tuple[str, ...] = ()) -> str:
    return client_address(PROXY, usual, forwarded, TRUSTED)


SPELLINGS = {
    "1.2.3.4": "1.2.3.4",
    "1.2.3.4:5678": "1.2.3.4",
    "1.2.3.4:_hidden": "1.2.3.4",
    '"1.2.3.4"': "1.2.3.4",
    '"1.2.3.4:5678"': "1.2.3.4",
    "2001:db8::7": "2001:db8::7",
    "2001:0DB8:0::7": "2001:db8::7",
    "[2001:db8::7]": "2001:db8::7",
    "[2001:db8::7]:80": "2001:db8::7",
    '"[2001:db8::7]:80"': "2001:db8::7",
    "[fe80::1%25eth0]:80": "fe80::1",
    "[::ffff:1.2.3.4]:80": "1.2.3.4",
    "::ffff:1.2.3.4": "1.2.3.4",
}
NONE = (
    *("", '"', '""', "unknown", "_proxy3", "localhost", "1.2.3", "1.2.3.4:", "1.2.3.4:http"),
    *(
        "1.2.3.4:123456",
        "01.2.3.4",
        "[1.2.3.4]",
        "[1.2.3.4]:80",
        "[]",
        "[2001:db8::7",
        "\u0661.2.3.4",
    ),
    *("[2001:db8::7]x", "[2001:db8::7]:80:80", "1.2.3.4 5.6.7.8", '"1.2.3.4', "http://1.2.3.4"),
    "\u0661.2.3.4",
)


@pytest.mark.parametrize("text", SPELLINGS)
def test_an_address_is_read_as_proxies_spell_it(text: str) -> None:
    """With a port, in brackets, in quotes; and the port is no part of who it is."""
    assert node_address(text) == SPELLINGS[text]


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_address_is_none(text: str) -> None:
    """A guess would stand in the log, in the policy's question and in the caps."""
    assert node_address(text) == ""


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["for=1.2.3.4"], "1.2.3.4"),
        (["For=1.2.3.4;Proto=https;by=10.0.0.1"], "1.2.3.4"),
        (["by=10.0.0.1; for=1.2.3.4 ;host=a.example"], "1.2.3.4"),
        (['for="[2001:db8::7]:4711"'], "2001:db8::7"),
        (["for=6.6.6.6, for=1.2.3.4, for=10.0.0.2"], "1.2.3.4"),
        (["for=6.6.6.6", "for=1.2.3.4"], "1.2.3.4"),
        (['for=1.2.3.4;host="a, for=6.6.6.6"'], "1.2.3.4"),
        (['for=1.2.3.4;host="a;for=6.6.6.6;b"'], "1.2.3.4"),
        (["for=1.2.3.4, , "], "1.2.3.4"),
        ([], PROXY),
        ([" , "], PROXY),
        (["proto=https"], PROXY),
        (["for=unknown"], PROXY),
        (["for=1.2.3.4;for=6.6.6.6"], PROXY),
        (["for=1.2.3.4 6.6.6.6"], PROXY),
        (["1.2.3.4"], PROXY),
        (['for="1.2.3.4\\"'], PROXY),
        (['for=1.2.3.4;host="a\\"b, for=6.6.6.6\\"c"'], PROXY),
        (['for=1.2.3.4;host="a\\b"'], PROXY),
        (["for=6.6.6.6, for=_hidden, for=10.0.0.3"], "10.0.0.3"),
    ],
)
def test_forwarded_is_read_from_the_right(lines: list[str], expected: str) -> None:
    """RFC 7239: elements, parameters and quotes; an element that cannot be read ends the search."""
    assert told(*lines) == expected


@pytest.mark.parametrize("left", ['for="', 'for="6.6.6.6', "for=;;=,", '\\"', "for=10.0.0.9"])
def test_what_a_client_put_to_the_left_changes_nothing(left: str) -> None:
    """An open quote above all: it would make one text of all that the proxies added."""
    assert told(f"{left}, for=1.2.3.4") == "1.2.3.4"
    assert told(f'{left}, for="[2001:db8::7]:80";proto=https') == "2001:db8::7"
    assert told(left, "for=1.2.3.4") == "1.2.3.4"
    assert told(usual=(f"{left}, 1.2.3.4:80",)) == "1.2.3.4"


def test_the_usual_header_wins() -> None:
    """Also with an address that cannot be read; a line with nothing in it says nothing."""
    assert told("for=6.6.6.6", usual=("1.2.3.4:80",)) == "1.2.3.4"
    assert told("for=6.6.6.6", usual=("unknown",)) == PROXY
    assert told("for=1.2.3.4", usual=(" , ",)) == "1.2.3.4"


def test_without_trusted_proxies_nobodys_word_counts() -> None:
    """Nor that of a peer that is none of them."""
    assert client_address(PROXY, ("1.2.3.4",), ("for=1.2.3.4",), ()) == PROXY
    assert client_address("9.9.9.9", ("1.2.3.4",), ("for=1.2.3.4",), TRUSTED) == "9.9.9.9"
