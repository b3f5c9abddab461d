"""``kb completion``: a shell's completion of commands, options and files, from the parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from knowledge_base.cli import exits
from knowledge_base.cli.parser import make_parser


def words(
    parser: argparse.ArgumentParser, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[tuple[str, str]]]]:
    """By the commands before them: the words that may follow, with what they mean."""
    found: list[tuple[str, str]] = []
    below: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below = dict(action.choices)
            found += [(one.dest, one.help or "") for one in action._choices_actions]
        elif action.option_strings:
            found += [(name, action.help or "") for name in action.option_strings]
        elif action.choices:
            found += [(str(one), "") for one in action.choices]
    yield path, found
    for name, child in below.items():
        yield from words(child, (*path, name))


def completion(options: argparse.Namespace) -> int:
    table = list(words(make_parser()))
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell](table))
    return exits.OK


Table = list[tuple[tuple[str, ...], list[tuple[str, str]]]]

_BASH = """\
# kb's completion for bash: eval "$(kb completion bash)"
_kb() {{
  local word path=() current="${{COMP_WORDS[COMP_CWORD]}}"
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    [[ $word == -* ]] || path+=("$word")
  done
  local known=""
  case "${{path[*]:0:2}}" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$known" -- "$current"))
  [[ ${{#COMPREPLY[@]}} -gt 0 || $current == -* ]] || COMPREPLY=($(compgen -f -- "$current"))
}}
complete -o filenames -F _kb kb"""


def _bash(table: Table) -> str:
    # The longer ones first: a command's own words before those of its group.
    cases = []
    for path, known in sorted(table, key=lambda row: -len(row[0])):
        pattern = f'"{" ".join(path)}"' + ("*" if path else "")
        cases.append(f'    {pattern}) known="{" ".join(word for word, _ in known)}" ;;')
    return _BASH.format(cases="\n".join(cases))


def _zsh(table: Table) -> str:
    """Zsh runs bash's."""
    return f"#compdef kb\nautoload -U +X bashcompinit && bashcompinit\n{_bash(table)}"


def _fish(table: Table) -> str:
    lines = ["# kb's completion for fish: kb completion fish | source"]
    for path, known in table:
        seen = " ".join(path)
        below = {word for word, _ in known if not word.startswith("-")}
        when = f"__fish_seen_subcommand_from {path[-1]}" if path else "__fish_use_subcommand"
        if path and below:
            when += f"; and not __fish_seen_subcommand_from {' '.join(sorted(below))}"
        for word, about in known:
            name = (
                f"-l {word[2:]}"
                if word.startswith("--")
                else f"-s {word[1:]}"
                if word.startswith("-")
                else f"-f -a {word}"
            )
            quoted = about.replace("\\", "\\\\").replace("'", "\\'")
            lines.append(f"complete -c kb -n '{when}' {name} -d '{quoted}'  # {seen}".rstrip(" #"))
    return "\n".join(lines)
