"""``kb upload``: files and folders, several at a time, each once."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowledge_base import KnowledgeBase, Progress, UploadState, errors
from knowledge_base._sync import SIGNALS_S
from knowledge_base._uploads import measure
from knowledge_base.cli import account, exits
from knowledge_base.cli.exits import NOT_FOUND, USAGE, Said, words_of
from knowledge_base.cli.output import as_json, harmless, is_terminal, one_line, say

_FIRST_POLL_S, _LONGEST_POLL_S = 0.25, 5.0
# What is taken of a folder; a file that is named is sent whatever it is called.
ENDINGS = frozenset({".pdf", ".docx", ".html", ".htm", ".md", ".markdown", ".txt", ".text"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """``status`` is ``uploaded``, ``indexed``, ``skipped`` or ``failed``."""

    path: str
    status: str
    document_id: str | None = None
    error: str | None = None
    code: int = exits.OK

    def public(self) -> dict[str, Any]:
        about = {"path": self.path, "status": self.status, "document_id": self.document_id}
        return about if self.error is None else {**about, "error": self.error}


def files_of(names: list[str]) -> list[Path]:
    """The files that are named, and those of folders, in order and each once."""
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            found.update(dict.fromkeys(sorted(_below(path))))
        elif path.is_file():
            found[path] = None
        elif path.exists():
            # It is read twice, and its size is told before: a pipe can do neither.
            raise Said(f"{name}: this is no file.", USAGE)
        else:
            raise Said(f"{name}: there is no such file.", NOT_FOUND)
    return list(found)


def _below(folder: Path) -> Iterator[Path]:
    """Without hidden ones, pipes and the like. Raises ``OSError`` for a folder it cannot read."""
    for base, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in names:
            path = Path(base) / name
            is_taken = not name.startswith(".") and path.suffix.lower() in ENDINGS
            # A link to nothing is told as what it is, when its turn comes.
            if is_taken and (path.is_file() or not path.exists()):
                yield path


def _unreadable(error: OSError) -> None:
    raise error


def _size(path: Path) -> int:
    """Nothing of one that is gone meanwhile: that is told when its turn comes."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Interrupted(Exception):
    """Ctrl-C: what is under way stops with its next block."""


class Uploads:
    """All files of one call."""

    def __init__(self, kb: KnowledgeBase, options: argparse.Namespace, url: str) -> None:
        self._kb, self._options, self._url = kb, options, url
        self._known: dict[str, str] = {}
        self.stopped = threading.Event()

    def learn(self) -> None:
        """What is there already, by its bytes. Who may not list sends everything."""
        if self._options.again:
            return
        with contextlib.suppress(errors.Forbidden):
            for one in self._kb.documents.list():
                if one.sha256 is not None and one.status not in ("failed", "expired"):
                    self._known.setdefault(one.sha256, one.document_id)

    def one(self, path: Path, show: Show) -> Outcome:
        try:
            return self._one(path, show)
        except (errors.KnowledgeBaseError, OSError) as exc:
            why = words_of(exc).removeprefix(f"{path}: ")
            return Outcome(str(path), "failed", None, why, exits.code_of(exc))

    def _one(self, path: Path, show: Show) -> Outcome:
        there = self._known.get(measure(path).sha256) if self._known else None
        if there is not None:
            return Outcome(str(path), "skipped", there)
        uploaded = self._kb.documents.upload(
            path,
            on_progress=lambda progress: self._moved(progress, show),
            on_state=lambda state: self._keep(path, state),
            resume=self._resume(path),
        )
        self._state_file(path).unlink(missing_ok=True)
        if self._options.wait:
            show.waiting(path)
            self._wait(uploaded.document_id)
        status = "indexed" if self._options.wait else "uploaded"
        return Outcome(str(path), status, uploaded.document_id)

    def _wait(self, document_id: str) -> None:
        """Until it is indexed, or Ctrl-C. Raises ``IngestFailed``."""
        poll_s = _FIRST_POLL_S
        while not (document := self._kb.documents.get(document_id)).is_settled:
            if self.stopped.wait(poll_s):
                raise _Interrupted
            poll_s = min(poll_s * 1.5, _LONGEST_POLL_S)
        if document.status != "indexed":
            raise errors.IngestFailed(document)

    def _moved(self, progress: Progress, show: Show) -> None:
        if self.stopped.is_set():
            raise _Interrupted
        show.moved(progress)

    # --- how far it is, for the next call ---------------------------------------------------------

    def _state_file(self, path: Path) -> Path:
        name = hashlib.sha256(f"{self._url}\0{path.resolve()}".encode()).hexdigest()[:32]
        return account.state_dir() / f"{name}.json"

    def _keep(self, path: Path, state: UploadState) -> None:
        """Where it cannot be kept, the upload goes on all the same."""
        with contextlib.suppress(OSError):
            account.write_private(self._state_file(path), state.to_json())

    def _resume(self, path: Path) -> UploadState | None:
        try:
            return UploadState.from_json(self._state_file(path).read_text("utf-8"))
        except (OSError, ValueError):
            return None


class Show:
    """Says nothing on the way: for pipes and logs."""

    def __enter__(self) -> Show:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def moved(self, progress: Progress) -> None: ...

    def waiting(self, path: Path) -> None: ...

    def ended(self, outcome: Outcome) -> None:
        if outcome.status == "failed":
            say(f"{outcome.path}: {outcome.error}")


class Bars(Show):
    """A bar for each file that is under way, and one for all, on stderr."""

    def __init__(self, files: list[Path]) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, highlight=False),
        )
        self._sizes = {str(path): _size(path) for path in files}
        label = f"{len(files)} files" if len(files) != 1 else "1 file"
        self._all = self._bars.add_task(label, total=sum(self._sizes.values()))
        self._tasks: dict[str, Any] = {}
        self._sent: dict[str, int] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bars.stop()

    def _task(self, path: str) -> Any:
        with self._lock:
            if path not in self._tasks:
                name = harmless(Path(path).name)
                self._tasks[path] = self._bars.add_task(name, total=self._sizes.get(path))
            return self._tasks[path]

    def moved(self, progress: Progress) -> None:
        path = str(progress.path)
        self._bars.update(self._task(path), completed=progress.sent)
        with self._lock:
            self._sent[path] = progress.sent
            self._bars.update(self._all, completed=sum(self._sent.values()))

    def waiting(self, path: Path) -> None:
        self._bars.update(self._task(str(path)), description=f"{harmless(path.name)} (indexing)")

    def ended(self, outcome: Outcome) -> None:
        with self._lock:
            task = self._tasks.pop(outcome.path, None)
            self._sent[outcome.path] = self._sizes.get(outcome.path, 0)
            self._bars.update(self._all, completed=sum(self._sent.values()))
        if task is not None:
            self._bars.remove_task(task)
        if outcome.status == "failed":
            self._bars.console.print(
                harmless(f"{outcome.path}: {outcome.error}"), markup=False, style="red"
            )


def upload(options: argparse.Namespace) -> int:
    files = files_of(options.path)
    if not files:
        raise Said(f"There is nothing to upload: a folder gives {', '.join(sorted(ENDINGS))}.")
    about = account.account(options)
    with account.client(options) as kb:
        uploads = Uploads(kb, options, about.url)
        uploads.learn()
        at_terminal = is_terminal(sys.stderr) and not options.quiet
        with Bars(files) if at_terminal else Show() as show:
            outcomes = _all(uploads, files, show, options)
    return _summed_up(outcomes)


def _all(
    uploads: Uploads, files: list[Path], show: Show, options: argparse.Namespace
) -> list[Outcome]:
    """Each file's line goes out when it is done."""
    pool = ThreadPoolExecutor(options.jobs, "kb-upload")
    try:
        under_way = {pool.submit(uploads.one, one, show) for one in files}
        outcomes = []
        while under_way:
            ended, under_way = wait(under_way, SIGNALS_S, FIRST_COMPLETED)
            for future in ended:
                outcomes.append(future.result())
                show.ended(outcomes[-1])
                _tell(outcomes[-1], options)
        return outcomes
    finally:
        # Who waits for a store that says nothing is not waited for: the program ends (``entry``).
        uploads.stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _tell(outcome: Outcome, options: argparse.Namespace) -> None:
    if options.json:
        print(as_json(outcome.public()), flush=True)
    elif not is_terminal(sys.stdout):
        fields = (outcome.status, outcome.document_id, outcome.path)
        print("\t".join(one_line(field) for field in fields), flush=True)


def _summed_up(outcomes: list[Outcome]) -> int:
    counts = {
        status: sum(one.status == status for one in outcomes)
        for status in ("uploaded", "indexed", "skipped", "failed")
    }
    words = {**dict.fromkeys(counts, ""), "skipped": " (already there)"}
    said = [f"{count} {status}{words[status]}" for status, count in counts.items() if count]
    say(", ".join(said))
    codes = {one.code for one in outcomes if one.status == "failed"}
    return exits.OK if not codes else codes.pop() if len(codes) == 1 else exits.FAILED
