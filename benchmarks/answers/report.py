"""The result of a run: who answered what right, by kind and by language, as JSON and a table."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.answers import peer
from benchmarks.answers.core import Answered, Core
from benchmarks.answers.questions import Question, files, load
from benchmarks.answers.score import Given, is_right
from benchmarks.digest import ANSWERED, ANSWERS, code_digest
from benchmarks.summary import markdown_table, table

LEAST_RIGHT = 0.85
LEAST_AHEAD = 0.15


def run(say: Callable[[str], None]) -> int:
    """Measure, write ``result/answers.json``, print the shares; 1 when one is below its bar."""
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    result = measure(say)
    ANSWERS.mkdir(exist_ok=True)
    path = ANSWERS / "answers.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(printed(result))
    print(path)
    for fault in faults(result):
        say(fault)
    return 1 if faults(result) else 0


def measure(say: Callable[[str], None]) -> dict[str, Any]:
    """Ask every question of the core, and of LlamaIndex if its readers are there."""
    questions = load()
    paths = files(questions)
    say(f"{len(questions)} questions over {len(paths)} files")
    with tempfile.TemporaryDirectory() as folder:
        core = Core(Path(folder), paths)
        answered = [core.ask(question) for question in questions]
        core.close()
    beside: list[Given | None] | None = None
    if peer.available():
        beside = list(map(peer.build(paths, questions).ask, questions))
    else:
        say(f"without LlamaIndex's readers: {peer.NEEDED}")
    return document(questions, answered, beside, files=len(paths))


def document(
    questions: Sequence[Question],
    answered: Sequence[Answered],
    beside: Sequence[Given | None] | None,
    *,
    files: int,
) -> dict[str, Any]:
    """The result file: a row for each question, and the shares."""
    rows = [
        {
            "question": question.question,
            "source": question.source,
            "kind": question.kind,
            "language": question.language,
            "held_back": question.held_back,
            "core": is_right(question, answer.given),
            "llama_index": None if beside is None else is_right(question, beside[n]),
            "answer": answer.text,
        }
        for n, (question, answer) in enumerate(zip(questions, answered, strict=True))
    ]
    others = [row for row in rows if row["kind"] != "case"]
    seconds = sorted(answer.seconds for answer in answered)
    return {
        "scenario": "answers",
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "code": {"of": list(ANSWERED), "sha256": code_digest(parts=ANSWERED)},
        "questions": len(rows),
        "files": files,
        "languages": len({row["language"] for row in rows}),
        "cases": _shares([row for row in rows if row["kind"] == "case"]),
        "others": _shares(others),
        "seen_while_made": _shares([row for row in others if not row["held_back"]]),
        "held_back": _shares([row for row in others if row["held_back"]]),
        "by_kind": _by("kind", others),
        "by_language": _by("language", others),
        "by_format": _by_format(others),
        "median_ms": round(1000 * seconds[len(seconds) // 2], 2),
        "rows": rows,
    }


def _shares(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    known = [row for row in rows if row["llama_index"] is not None]
    return {
        "questions": len(rows),
        "core": _share(rows, "core"),
        "llama_index": _share(known, "llama_index") if known else None,
    }


def _share(rows: Sequence[dict[str, Any]], system: str) -> float:
    return round(sum(row[system] for row in rows) / len(rows), 3) if rows else 0.0


def _by(field: str, rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    values = sorted({row[field] for row in rows})
    return {value: _shares([row for row in rows if row[field] == value]) for value in values}


def _by_format(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return _by("format", [{**row, "format": Path(row["source"]).suffix[1:]} for row in rows])


def faults(result: dict[str, Any]) -> list[str]:
    """What is below the bar, a sentence each."""
    found = []
    if result["cases"]["core"] < 1:
        found.append(f"cases: {result['cases']['core']:.3f} right, all are expected")
    others = result["others"]
    if others["core"] < LEAST_RIGHT:
        found.append(f"others: {others['core']:.3f} right, {LEAST_RIGHT} is expected")
    ahead = others["core"] - (others["llama_index"] or 0.0)
    if others["llama_index"] is not None and ahead < LEAST_AHEAD:
        found.append(f"others: {ahead:.3f} above LlamaIndex, {LEAST_AHEAD} is expected")
    return found


def printed(result: dict[str, Any]) -> str:
    """The shares as a table for a terminal."""
    groups = {name: result[name] for name in ("cases", "others", "seen_while_made", "held_back")}
    for field in ("by_kind", "by_format", "by_language"):
        groups |= {f"{field[3:]}: {value}": row for value, row in result[field].items()}
    rows = [{"group": name, **row} for name, row in groups.items()]
    return table(rows, ("group", "questions", "core", "llama_index"))


def markdown(result: dict[str, Any]) -> str:
    """The shares as the documentation has them."""
    groups = {
        "**the cases**": result["cases"],
        "**all others**": result["others"],
        "… seen while the core was made": result["seen_while_made"],
        "… held back": result["held_back"],
        **result["by_kind"],
        **result["by_format"],
    }
    rows = [
        (name, str(row["questions"]), _rounded(row["core"]), _rounded(row["llama_index"]))
        for name, row in groups.items()
    ]
    return markdown_table(("", "questions", "core", "LlamaIndex"), rows)


def _rounded(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f}"
