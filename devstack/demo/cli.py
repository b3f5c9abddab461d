"""The steps of ``gateway demo``, and its exit codes.

0: it worked, or a signal ended a demo that was left running. 1: a step failed; a sentence says
which and what to do. 2: wrong arguments. 130, 143: Ctrl-C, SIGTERM before the answer was there.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

from devstack import fetch
from devstack.components import Missing
from devstack.demo import console, curls
from devstack.demo.answer import Answer
from devstack.demo.client import Client, NotIndexed, StepFailed, Upload, content_type_of
from devstack.demo.question import suggest
from devstack.demo.screen import BLUE, BOLD, DIM, GREEN, RED, YELLOW, Progress, Screen, clean
from devstack.environment import ADMIN
from devstack.parts import ALL_PARTS, Part
from devstack.processes import StartFailed
from devstack.sample import QUESTIONS, SAMPLES
from devstack.stack import Stack

OK, FAILED = 0, 1
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The API's own limit, checked before anything is started.
QUESTION_LIMIT_CHARS = 8192
_LOG_PARTS: tuple[Part, ...] = ("gateway", "core", "worker")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demo; ``argv`` are the arguments after ``gateway demo``."""
    options = make_parser().parse_args(argv)
    screen = Screen()
    demo = Demo(options, screen)
    try:
        check_files(options.files)
        return asyncio.run(demo.until_signalled())
    except (StepFailed, StartFailed, Missing, fetch.FetchFailed) as exc:
        screen.line(screen.paint(f"\n{clean(str(exc))}", RED))
        return FAILED
    except BrokenPipeError:
        # The reader of our output has closed it. Python flushes stdout once more as it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway demo",
        description="Start everything on this machine, upload a document, wait until it is"
        " indexed, ask about it and print the answer as it streams, with what it cites. Then keep"
        " running, for you to go on in the browser or with curl, until Ctrl-C.",
        epilog=dedent("""\
            examples:
              gateway demo
              gateway demo report.pdf --ask "What did the audit find?"
              gateway demo --once

            Without OPA or versitygw on this machine, embedded substitutes are used;
            --fetch builds the real ones first (needs Go), into a cache for later runs.
            Nothing is left behind: no process, no folder, no port."""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="PDF, DOCX, HTML, Markdown or text"
    )
    parser.add_argument("--ask", type=_question, metavar="QUESTION", help="what to ask about it")
    parser.add_argument("--once", action="store_true", help="end after the answer")
    parser.add_argument(
        "--no-open", action="store_true", help="print the console's address, open no browser"
    )
    parser.add_argument("--fetch", action="store_true", help="build what is missing with Go first")
    parser.add_argument(
        "--workers", type=_workers, default=1, metavar="N", help="the gateway's worker processes"
    )
    return parser


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 1 to 64")
    return int(text)


def _question(text: str) -> str:
    if not text.strip() or len(text) > QUESTION_LIMIT_CHARS:
        raise argparse.ArgumentTypeError(f"expected 1 to {QUESTION_LIMIT_CHARS:,} characters")
    return text


def check_files(files: Sequence[Path]) -> None:
    """Checks the files before anything is started. Raises ``StepFailed`` with what is wrong."""
    for path in files:
        if not path.exists():
            raise StepFailed(f"{path}: there is no such file.")
        if not path.is_file():
            raise StepFailed(f"{path}: it is a folder, or no ordinary file; name the files.")
        if not os.access(path, os.R_OK):
            raise StepFailed(f"{path}: it may not be read.")
        if not path.stat().st_size:
            raise StepFailed(f"{path}: it is empty.")
        content_type_of(path)


class Demo:
    """One run of the demo."""

    def __init__(self, options: argparse.Namespace, screen: Screen) -> None:
        self._options = options
        self._screen = screen
        self._files: list[Path] = options.files or list(SAMPLES)
        self._answered = False
        self._signal: signal.Signals | None = None
        # Kept, so that nobody complains of a process that was never waited for.
        self._browser: subprocess.Popen[bytes] | None = None

    async def until_signalled(self) -> int:
        """Runs all steps, or until a signal; everything is stopped in order in either case."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        for number in _ENDING_SIGNALS:
            loop.add_signal_handler(number, self._end, number, task)
        try:
            return await self._run()
        except asyncio.CancelledError:
            if self._signal is None:
                raise
            self._screen.line("Stopped; nothing is left running.")
            return OK if self._answered else 128 + self._signal

    def _end(self, number: signal.Signals, task: asyncio.Task[int]) -> None:
        if self._signal is not None:
            # The second signal: leave at once. The watchdogs stop everything, as after SIGKILL.
            os._exit(128 + number)
        self._signal = number
        self._screen.line("\nStopping …")
        task.cancel()

    async def _run(self) -> int:
        if self._options.fetch:
            await self._fetch()
        self._screen.head("Starting everything on this machine")
        async with Stack(
            parts=ALL_PARTS,
            gateway_workers=self._options.workers,
            gateway_settings=curls.SETTINGS,
            announce=self._screen.step,
        ) as stack:
            self._screen.head("What runs")
            self._screen.table(stack.table())
            client = Client(stack.base_url)
            try:
                await self._work(stack, client)
                if not self._options.once:
                    await self._serve(stack)
            except NotIndexed:
                raise
            except StepFailed:
                self._show_logs(stack)
                raise
            finally:
                await client.aclose()
        return OK

    async def _fetch(self) -> None:
        wanted = [pin for pin in fetch.pins() if pin.program in fetch.DEMO_NEEDS]
        absent = fetch.missing(wanted)
        self._screen.head("Building what is missing" if absent else "Nothing to build")
        if absent:
            await fetch.fetch(absent, self._screen.step)

    async def _work(self, stack: Stack, client: Client) -> None:
        password = stack.secrets.admin_password
        self._screen.head(f"Logging in as {ADMIN}")
        await client.log_in(ADMIN, password)
        self._screen.line("  got a token")
        # All are sent before the first is waited for, as they are indexed side by side.
        uploads = [await self._upload(client, path) for path in self._files]
        for upload in uploads:
            await self._until_indexed(client, upload)
        questions = await self._questions(stack)
        for question in questions:
            await self._ask(client, question)
        self._answered = True
        if not self._options.once:
            self._how_to_go_on(stack, client, questions[0])

    async def _upload(self, client: Client, path: Path) -> Upload:
        self._screen.head(f"Uploading {clean(path.name)}")
        upload = await client.announce(path)
        self._screen.line(f"  document {upload.document_id}, workflow {upload.workflow_id}")
        progress = Progress(self._screen, "to the store", upload.size)
        parts = await client.send(upload, progress.advance)
        await client.complete(upload, parts)
        return upload

    async def _until_indexed(self, client: Client, upload: Upload) -> None:
        name = clean(upload.path.name)
        await client.until_indexed(
            upload, lambda state: self._screen.line(f"  {name}: {clean(state)}")
        )

    async def _questions(self, stack: Stack) -> Sequence[str]:
        if self._options.ask is not None:
            return (str(self._options.ask),)
        if not self._options.files:
            return QUESTIONS
        path = self._files[0]
        return (await suggest(path, content_type_of(path), stack.data_dir),)

    async def _ask(self, client: Client, question: str) -> None:
        screen = self._screen
        screen.head(f"Asking: {clean(question)}")
        screen.write("  ")
        answer = Answer()
        async for event in client.ask(question):
            text = clean(answer.take(event))
            screen.write(screen.paint(text, BLUE) if event.type == "citation" else text)
        screen.line()
        cited = answer.citations()
        for one in cited:
            screen.wrapped(f"  {one}", indent="      ")
        if not cited:
            hint = "It cites nothing: ask (--ask) for something that is in the document."
            screen.line(screen.paint(f"  {hint}", YELLOW))

    def _how_to_go_on(self, stack: Stack, client: Client, question: str) -> None:
        screen = self._screen
        headers = curls.write_headers(stack.data_dir, client.token)
        screen.head("Continue with curl; these lines work as they are")
        password = stack.secrets.admin_password
        for does, line in curls.lines(stack.base_url, headers, password, question):
            screen.line(screen.paint(f"  # {does}", DIM))
            screen.line(f"  {line}")
        screen.line()
        screen.line(f"  {screen.paint('base URL', BOLD)}  {stack.base_url}")
        screen.line(f"  {screen.paint('API docs', BOLD)}  {stack.base_url}/docs")
        screen.line(f"  {screen.paint('token', BOLD)}     {client.token}")
        self._show_console(stack, client)

    def _show_console(self, stack: Stack, client: Client) -> None:
        """Last of all, where it is seen first."""
        screen, minutes = self._screen, console.TOKEN_LIFE_S // 60
        token = console.short_token(client.token, stack.secrets.jwt)
        address = console.address(stack.base_url, token)
        screen.head("Go on in the browser")
        screen.line(f"  {address}")
        later = f"signed in for {minutes} minutes; then as {ADMIN}, {stack.secrets.admin_password}"
        screen.line(screen.paint(f"  {later}", DIM))
        if not self._options.no_open and console.can_open(sys.stdout, os.environ):
            self._browser = console.open_in_browser(address)

    async def _serve(self, stack: Stack) -> None:
        self._screen.line(self._screen.paint("\nRunning; Ctrl-C ends it.", GREEN))
        lost = await stack.wait_for_loss()
        raise StepFailed(f"{lost} ended by itself; the demo cannot go on without it.")

    def _show_logs(self, stack: Stack) -> None:
        for part in _LOG_PARTS:
            self._screen.head(f"The last lines of {part}")
            self._screen.step(clean(stack.child(part).last_output(5)).strip())
