"""Every way in which FOCUS refuses, with one exit code each.

Exit codes differ so that a workflow manager can distinguish a mistake of the user (never worth a retry)
from a missing resource (worth one) and from a defect of ours.
"""

EXIT_USAGE = 2
EXIT_BAD_INPUT = 3
EXIT_MISSING = 4
EXIT_OUTPUT_EXISTS = 5
EXIT_INTERNAL = 70
EXIT_FILE_SYSTEM = 74
EXIT_PREEMPTED = 75
EXIT_INTERRUPTED = 130

# Where a verb is a job of the workflow (the variable is set), its exit code is the last line of its output.
JOB_VARIABLE = "FOCUS_JOB"
EXIT_CODE_LINE = "focus: exit code "


def one_line(text: str) -> str:
    """`text` with line breaks, control and other unprintable characters spelt out.

    Names from files and folders stand in messages; they must neither break a line nor command a terminal.
    """
    return "".join(c if c.isprintable() or c == "\xa0" else c.encode("unicode_escape").decode() for c in text)


class FocusError(Exception):
    """A refusal in one line, with a hint on what to do about it.

    Parameters
    ----------
    message
        What is wrong, in one line, naming the file, key or value.
    hint
        What the user can do about it, in one line.
    """

    exit_code: int = EXIT_INTERNAL
    word: str = "error"  # how it is announced

    def __init__(self, message: str, hint: str | None = None) -> None:
        message = one_line(message)
        super().__init__(message)
        self.message = message
        self.hint = None if hint is None else one_line(hint)

    def __reduce__(self):  # survives the trip out of a worker process
        return type(self), (self.message, self.hint)


class UsageError(FocusError):
    """An option, a config key or a combination of them makes no sense."""

    exit_code = EXIT_USAGE


class BadInputError(FocusError):
    """A file was found and read, and its content cannot be used."""

    exit_code = EXIT_BAD_INPUT


class MissingResourceError(FocusError):
    """A file, library, device or piece of information is not there."""

    exit_code = EXIT_MISSING


class OutputExistsError(FocusError):
    """The output is there already and replacing it was not requested."""

    exit_code = EXIT_OUTPUT_EXISTS


class FileSystemError(FocusError):
    """The disk is full, a file may not grow any more, or the file system fails."""

    exit_code = EXIT_FILE_SYSTEM


class Preempted(FocusError):
    """The work was stopped by a signal, has saved its state, and the same command with ``--resume`` continues it."""

    exit_code = EXIT_PREEMPTED
    word = "preempted"
