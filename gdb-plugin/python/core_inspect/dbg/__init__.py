"""What the commands need of a debugger. `gdb.py` and `lldb.py` provide it; nothing else here imports either."""

import abc
from typing import Callable, NamedTuple, Optional


class UserError(Exception):
    """Why a command cannot do what was asked, in one line."""


class Target(NamedTuple):
    """What the debugger is looking at."""

    # The core that is open, if it is one.
    core: Optional[str]
    # The program, where the user named it to the debugger.
    binary: Optional[str]
    # Where the process's files are, where the user told the debugger.
    sysroot: Optional[str]
    # Another value whenever memory may have changed.
    state: object
    # Writes a core of the stopped process to a path, if it is a process.
    save: Optional[Callable[[str], None]]


class Debugger(abc.ABC):
    """One debugger. What it raises for its user's mistakes is `UserError`."""

    @abc.abstractmethod
    def target(self) -> Target:
        """What is open and stopped now."""

    @abc.abstractmethod
    def evaluate(self, expression: str) -> int:
        """The address that an expression of the debugger's language means."""

    @abc.abstractmethod
    def write(self, text: str) -> None:
        """A piece of an answer, through the debugger's own output (with its pager, where it has one)."""

    @abc.abstractmethod
    def say(self, line: str) -> None:
        """A line beside the answer."""

    @abc.abstractmethod
    def check(self) -> None:
        """Raises KeyboardInterrupt when the user wants the command to end and Python does not know that yet."""

    @abc.abstractmethod
    def width(self) -> int:
        """Columns of the output."""

    @abc.abstractmethod
    def colour(self) -> bool:
        """Whether the output takes colour."""

    @abc.abstractmethod
    def keep(self, addresses: list, is_one: bool) -> None:
        """Makes the addresses of the last answer the user's."""
