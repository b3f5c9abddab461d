"""The command line: which commands there are, what they take, and what does them."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TypeAlias

from knowledge_base._calls import checked_id
from knowledge_base._version import VERSION
from knowledge_base.cli import exits

_JSON = "one line of JSON for each thing"
_OWNER = "whose, if you are an admin"
_ENVIRONMENT = """\
environment:
  KB_URL               the knowledge base, where --url is not given
  KB_API_KEY, KB_TOKEN who asks, before what kb login keeps
  KB_CONFIG_DIR        where kb login keeps it (~/.config/knowledge-base)
  NO_COLOR             no colours
"""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kb",
        description="Upload documents to a knowledge base, and ask about them.",
        epilog=f"{exits.TABLE}\n{_ENVIRONMENT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kb {VERSION}")
    parser.add_argument("--url", help="the knowledge base's address")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _account(commands)
    _content(commands)
    _documents(commands)
    _keys(commands)
    _rest(commands)
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add(commands: Commands, name: str, does: str, about: str) -> argparse.ArgumentParser:
    """``does`` is ``module:function``; a command's module is imported when it runs."""
    parser = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    parser.set_defaults(does=does)
    return parser


def _group(commands: Commands, name: str, about: str) -> Commands:
    parser = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    return parser.add_subparsers(dest=f"{name}_command", metavar="COMMAND", required=True)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=_JSON)


def _owner(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--owner", help=_OWNER)


def _account(commands: Commands) -> None:
    one = _add(commands, "login", "login:login", "log in, and keep the token")
    one.add_argument("address", nargs="?", metavar="URL", help="the knowledge base's address")
    one.add_argument("-u", "--username", help="who you are there")
    how = one.add_mutually_exclusive_group()
    how.add_argument("--password-stdin", action="store_true", help="read the password from stdin")
    how.add_argument("--api-key-stdin", action="store_true", help="keep an API key from stdin")
    one = _add(commands, "logout", "login:logout", "end the token, and forget it")
    one.add_argument("--all", action="store_true", help="end all tokens that you have anywhere")
    _json(_add(commands, "whoami", "login:whoami", "show who you are to the knowledge base"))


def _content(commands: Commands) -> None:
    one = _add(commands, "upload", "upload:upload", "upload files and folders, each once")
    one.add_argument("path", nargs="+", help="a file, or a folder with all that it holds")
    one.add_argument("-w", "--wait", action="store_true", help="until each is indexed")
    one.add_argument("--again", action="store_true", help="also what is there already")
    one.add_argument("-j", "--jobs", type=_count, default=3, help="files at a time (3)")
    one.add_argument("-q", "--quiet", action="store_true", help="no bars")
    _json(one)
    for name, about in (
        ("ask", "ask, and read the answer as it comes"),
        ("search", "find passages, without an answer"),
    ):
        one = _add(commands, name, f"ask:{name}", about)
        one.add_argument("question", nargs="*", help='in words; "-" reads it from stdin')
        one.add_argument("-d", "--document", action="append", metavar="ID", help="only in this one")
        one.add_argument("-k", "--top-k", type=_count, metavar="N", help="at most N passages")
        _json(one)
        if name == "ask":
            one.add_argument("--no-sources", action="store_true", help="no footnotes")


def _documents(commands: Commands) -> None:
    docs = _group(commands, "docs", "list, show, open and remove documents")
    one = _add(docs, "ls", "documents:list_documents", "list documents, newest first")
    one.add_argument("-n", "--limit", type=_count, metavar="N", help="at most N")
    _json(one)
    _owner(one)
    one = _add(docs, "show", "documents:show_document", "show what is known of a document")
    one.add_argument("id", nargs="+", metavar="ID", type=_id)
    _json(one)
    _owner(one)
    one = _add(docs, "open", "documents:open_document", "open a document in the browser")
    one.add_argument("id", metavar="ID", type=_id)
    how = one.add_mutually_exclusive_group()
    how.add_argument("-o", "--to", metavar="FILE", help="write it to this file instead")
    how.add_argument("--url-only", action="store_true", help="print where it is for a minute")
    _owner(one)
    one = _add(docs, "rm", "documents:remove_documents", "delete documents for good")
    one.add_argument("id", nargs="+", metavar="ID", type=_id)
    one.add_argument("-y", "--yes", action="store_true", help="do not ask")
    _owner(one)


def _keys(commands: Commands) -> None:
    keys = _group(commands, "keys", "make and revoke API keys for programs")
    one = _add(keys, "ls", "documents:list_keys", "list keys, newest first")
    _json(one)
    _owner(one)
    one = _add(keys, "create", "documents:create_key", "make a key, which is shown once")
    one.add_argument("name", help="what it is for")
    one.add_argument(
        "-s", "--scope", action="append", required=True, help="what it may do (query:run …)"
    )
    one.add_argument("--expires-in", type=_count, metavar="SECONDS", help="never, if not given")
    _json(one)
    one = _add(keys, "rotate", "documents:rotate_key", "give a key a new secret")
    one.add_argument("id", metavar="ID", type=_id)
    one.add_argument("--overlap", type=_none_or_more, metavar="SECONDS", help="of the old one")
    _json(one)
    one = _add(keys, "revoke", "documents:revoke_key", "end keys at once")
    one.add_argument("id", nargs="+", metavar="ID", type=_id)
    _owner(one)


def _rest(commands: Commands) -> None:
    one = _add(commands, "usage", "documents:usage", "show what was used and what is left")
    _json(one)
    _owner(one)
    _add(commands, "doctor", "login:doctor", "find out why something does not work")
    one = _add(commands, "completion", "completion:completion", "print a shell's completion")
    one.add_argument("shell", choices=("bash", "zsh", "fish"))


def _count(text: str) -> int:
    number = _none_or_more(text)
    if number < 1:
        raise argparse.ArgumentTypeError("a number from 1 on")
    return number


def _id(text: str) -> str:
    try:
        return checked_id(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _none_or_more(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("a whole number")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Does what the command line says; gives the exit code."""
    module, _, function = options.does.partition(":")
    code: int = getattr(import_module(f"knowledge_base.cli.{module}"), function)(options)
    return code
