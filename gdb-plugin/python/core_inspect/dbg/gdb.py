"""gdb (12 or newer): its target, its output, its commands and functions."""

import re
import struct
import sys

import gdb

from .. import native
from ..commands import COMMANDS, track
from ..functions import FUNCTIONS
from ..session import Session
from . import Debugger, Target, UserError, gdb_track

# The core's path is nowhere in gdb's Python; `info files` has it. A path may have quotes in it, and ends before the last one.
CORE = re.compile(r"core dump file:\n\t`(.*)', file type ")
PLAIN_WIDTH = 100


class Gdb(Debugger):
    """The gdb that this runs in."""

    def __init__(self):
        self._changes = 0
        for event in (gdb.events.cont, gdb.events.memory_changed, gdb.events.inferior_call, gdb.events.exited):
            event.connect(self._changed)

    def _changed(self, _):
        self._changes += 1

    def target(self):
        inferior = gdb.selected_inferior()
        connection = inferior.connection
        if inferior.pid == 0 or connection is None:
            raise UserError("there is no process and no core: open one with `core-file FILE`, `attach PID` or `run`")
        if any(thread.is_running() for thread in inferior.threads()):
            raise UserError("the process is running: stop it first (`interrupt`)")
        core = None
        if connection.type == "core":
            found = CORE.search(gdb.execute("info files", to_string=True))
            if found is None:
                raise UserError("gdb does not say which file the core is")
            core = found[1]
        state = (inferior.num, inferior.pid, self._changes)
        # A process is read now; a core, as its file, whatever gdb wrote over it.
        state, save = (None, None) if core else (state, self._save)
        return Target(core, gdb.current_progspace().filename, _sysroot(), state, save)

    @staticmethod
    def _save(path):
        try:
            gdb.execute(f"gcore {path}", to_string=True)
        except gdb.error as error:
            raise UserError(f"gcore: {error}") from None

    def evaluate(self, expression):
        try:
            return address_of(gdb.parse_and_eval(expression))
        except (gdb.error, UserError) as error:
            raise UserError(f"{expression}: {_lower(error)}") from None

    def write(self, text):
        gdb.write(text)

    def say(self, line):
        gdb.write(line + "\n", gdb.STDERR)

    def check(self):
        # While Python runs, Ctrl-C is Python's.
        pass

    def width(self):
        # None is unlimited.
        return min(max(gdb.parameter("width") or PLAIN_WIDTH, 60), 120)

    def colour(self):
        return gdb.parameter("style enabled") and sys.__stdout__.isatty()

    def keep(self, addresses, is_one):
        pointer = gdb.lookup_type("void").pointer()
        if not addresses:
            gdb.set_convenience_variable("_heap", None)
        elif is_one:
            gdb.set_convenience_variable("_heap", gdb.Value(addresses[0]).cast(pointer))
        else:
            word = {4: "I", 8: "Q"}[pointer.sizeof]
            words = struct.pack(f"={len(addresses)}{word}", *addresses)
            gdb.set_convenience_variable("_heap", gdb.Value(words, pointer.array(len(addresses) - 1)))


def address_of(value):
    """The address that a value means: a pointer's own, an integer's value, an object's place."""
    if value.type.strip_typedefs().code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        value = value.referenced_value()
    kind = value.type.strip_typedefs().code
    if kind in (gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_ENUM):
        return int(value) & ((1 << 64) - 1)
    if value.address is None:
        raise UserError("it is neither a pointer nor an object in memory")
    return int(value.address)


def _sysroot():
    # "target:" means the files of the other machine, which are not here.
    sysroot = gdb.parameter("sysroot")
    return sysroot if sysroot and sysroot != "/" and not sysroot.startswith("target:") else None


def _lower(error):
    text = str(error)
    return text[:1].lower() + text[1:].rstrip(".\n")


def _guarded(run, *arguments):
    """Errors become a line of gdb's; a traceback never does."""
    try:
        return run(*arguments)
    except UserError as error:
        raise gdb.GdbError(str(error)) from None
    except KeyboardInterrupt:
        raise gdb.GdbError("Quit") from None
    except gdb.error as error:
        raise gdb.GdbError(str(error)) from None
    except Exception as error:
        raise gdb.GdbError(f"core-inspect has an error of its own: {type(error).__name__}: {error}") from None


def _add_command(command, session):
    class HeapCommand(gdb.Command):
        __doc__ = command.help()

        def __init__(self):
            super().__init__(command.name, gdb.COMMAND_DATA)

        def invoke(self, argument, _):
            self.dont_repeat()
            _guarded(command.run, session, argument)

        def complete(self, text, word):
            found = command.complete(text, word or "")
            return gdb.COMPLETE_EXPRESSION if found is None else found

    HeapCommand()


def _call(function, session, arguments):
    if len(arguments) != 1:
        raise UserError(f"${function.__name__}: one pointer is needed")
    return function(session, address_of(arguments[0]))


def _add_function(function, session):
    class HeapFunction(gdb.Function):
        __doc__ = f"${function.__name__} (POINTER): {function.__doc__}"

        def __init__(self):
            super().__init__(function.__name__)

        def invoke(self, *arguments):
            return _guarded(_call, function, session, arguments)

    HeapFunction()


class Tracking:
    """Tracking of allocations, which is on or not."""

    def __init__(self, debugger):
        self._debugger = debugger
        self._tracker = None

    def on(self, slice_seconds, depth, functions):
        """Begins."""
        if self._tracker is not None:
            raise UserError("allocations are followed already: leak-off ends it")
        if self._debugger.target().core:
            raise UserError("a core does not run: attach to a process")
        try:
            native.load()
        except (ImportError, OSError) as error:
            raise UserError(f"verdicts need the native module, which cannot be loaded: {error}") from None
        self._tracker = gdb_track.Tracker(slice_seconds, depth, functions)

    def _on(self):
        if self._tracker is None:
            raise UserError("allocations are not followed: leak-on begins it")
        return self._tracker

    def is_alive(self):
        """Whether the process is still there."""
        inferior = gdb.selected_inferior()
        return (inferior.num, inferior.pid) == self._on().process

    def book(self):
        """What was seen."""
        return self._on().book

    def now(self):
        """Seconds that the process ran since the beginning."""
        return self._on().now()

    def lost(self):
        """Calls whose return was not seen."""
        return self._on().lost

    def names(self):
        """What is followed."""
        return self._on().names()

    def names_of(self, pc):
        """A return address in words, inlined functions first."""
        return gdb_track.names_of(pc)

    def run_for(self, seconds):
        """Lets the process run."""
        self._on()
        gdb_track.run_for(seconds)

    def off(self):
        """Ends; returns how many places of code are not as before, `None` where that is not known."""
        tracker, self._tracker = self._on(), None
        return tracker.off()


def register():
    """Adds the commands and functions; returns the session, for scripts."""
    session = Session(Gdb())
    session.tracking = Tracking(session.debugger)
    for command in [*COMMANDS, *track.COMMANDS]:
        _add_command(command, session)
    for function in FUNCTIONS:
        _add_function(function, session)
    return session
