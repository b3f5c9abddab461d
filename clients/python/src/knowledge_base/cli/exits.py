"""What ``kb`` ends with, and what it says before it does."""

from __future__ import annotations

from knowledge_base import errors

OK = 0
FAILED = 1
USAGE = 2  # argparse's own
NOT_ALLOWED = 3
NOT_FOUND = 4
LATER = 5
INTERRUPTED = 130
# What a shell says of who wrote to a pipe that nobody reads: 128 and SIGPIPE.
NOBODY_READS = 141

TABLE = """\
exit codes:
  0    done
  1    it failed, or an answer is incomplete
  2    the command line is wrong
  3    not logged in, or not allowed
  4    there is no such thing
  5    not now: nobody there, too much at once, or a budget is spent
  130  stopped by Ctrl-C
"""


class Said(Exception):
    """A failure of the command line's own: a sentence for people, and the exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        self.code = code
        super().__init__(message)


def code_of(error: Exception) -> int:
    match error:
        case Said():
            return error.code
        case errors.Unauthenticated() | errors.Forbidden():
            return NOT_ALLOWED
        case errors.NotFound():
            return NOT_FOUND
        case errors.RateLimited() | errors.Unavailable() | errors.NotConnected():
            return LATER
    return FAILED


def words_of(error: Exception) -> str:
    """What happened, and where there is something to do, what."""
    cause = error.__cause__
    match error:
        case errors.UploadInterrupted() if cause is not None:
            why = words_of(cause) if isinstance(cause, Exception) else str(cause)
            return f"{why} The same command goes on where it stopped."
        case errors.InvalidCredentials():
            return "The user name or the password is wrong."
        case errors.Unauthenticated():
            return f"{error.message} Log in: kb login"
        case errors.RateLimited() if error.retry_after:
            return f"{error} Try again in {error.retry_after:.0f} s."
        case OSError() if error.filename:
            return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
