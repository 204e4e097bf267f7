"""LLDB (14 or newer): its target, its output and its commands."""

import os
import sys

import lldb

from ..commands import COMMANDS
from ..session import Session
from . import Debugger, Target, UserError

PLAIN_WIDTH = 100
# e_type of an ELF core, at byte 16; and how minidumps begin.
ELF, CORE_TYPE, MINIDUMP = b"\x7fELF", 4, b"MDMP"


class Lldb(Debugger):
    """One of LLDB's debuggers, while one of its commands runs."""

    def __init__(self, debugger, target, result):
        self._debugger, self._target, self._result = debugger, target, result

    def target(self):
        process = self._target.GetProcess()
        if not process.IsValid() or process.GetState() in (lldb.eStateExited, lldb.eStateDetached, lldb.eStateUnloaded):
            raise UserError("there is no process and no core: open one with `target create --core FILE` or `process attach`")
        if process.GetState() in (lldb.eStateRunning, lldb.eStateStepping):
            raise UserError("the process is running: stop it first (`process interrupt`)")
        binary = _path(self._target.GetExecutable())
        # Without a program, LLDB takes what the core names; whether that is there is ours to find out.
        binary = binary if binary and os.path.exists(binary) else None
        if process.GetPluginName() in ("elf-core", "minidump"):
            return Target(_core_of(process), binary, None, None, None)
        state = (process.GetUniqueID(), process.GetStopID())
        return Target(None, binary, None, state, lambda path: _save(process, path))

    def evaluate(self, expression):
        value = self._value(expression)
        kind = value.GetType().GetCanonicalType()
        is_number = kind.GetBasicType() not in (lldb.eBasicTypeInvalid, lldb.eBasicTypeVoid)
        if not kind.IsPointerType() and not is_number:
            # An object: where it is.
            value = self._value(f"&({expression})")
        return value.GetValueAsUnsigned()

    def _value(self, expression):
        frame = self._target.GetProcess().GetSelectedThread().GetSelectedFrame()
        value = (frame if frame.IsValid() else self._target).EvaluateExpression(expression)
        if value.GetError().Fail():
            # The compiler's first line: `error: <user expression 0>:1:1: use of undeclared identifier 'x'`.
            line = next(iter(str(value.GetError()).strip().splitlines()), "it has no value")
            raise UserError(f"{expression}: {line.split(': ')[-1]}")
        return value

    def write(self, text):
        self._result.write(text)

    def say(self, line):
        self._result.AppendWarning(line)

    def check(self):
        # Ctrl-C's signal is LLDB's, which takes note of it.
        if self._debugger.GetCommandInterpreter().WasInterrupted():
            raise KeyboardInterrupt

    def width(self):
        if not sys.__stdout__.isatty():
            return PLAIN_WIDTH
        return min(max(self._debugger.GetTerminalWidth(), 60), 120)

    def colour(self):
        return self._debugger.GetUseColor() and sys.__stdout__.isatty()

    def keep(self, addresses, is_one):
        # LLDB's variables belong to its compiler; scripts have the session's last answer.
        pass


def _path(spec):
    return os.path.join(spec.GetDirectory() or "", spec.GetFilename()) if spec.GetFilename() else None


def _core_of(process):
    """The file of a core. LLDB before 18 does not say; but it has the file mapped."""
    if hasattr(process, "GetCoreFile"):
        path = _path(process.GetCoreFile())
        if path:
            return path
    mapped = {line.split(maxsplit=5)[5].rstrip("\n") for line in open("/proc/self/maps") if line.count("/")}
    cores = sorted(path for path in mapped if _is_core(path))
    if len(cores) != 1:
        raise UserError(f"this LLDB does not say which file the core is, and has {len(cores)} of them open")
    return cores[0]


def _is_core(path):
    try:
        with open(path, "rb") as file:
            head = file.read(18)
    except OSError:
        return False
    return head[:4] == MINIDUMP or head[:4] == ELF and head[16:17] == bytes([CORE_TYPE])


def _save(process, path):
    try:
        error = process.SaveCore(path, "minidump", lldb.eSaveCoreFull)
    except (AttributeError, TypeError):
        # Before 15, only minidumps of stacks.
        raise UserError("this LLDB cannot write a whole core of a process: write one with gcore, and open that") from None
    if error.Fail():
        raise UserError(f"process save-core: {error}")


_SESSIONS = {}


def _session(debugger, target, result):
    """One session for each of LLDB's debuggers, with the command that it runs now."""
    session = _SESSIONS.setdefault(debugger.GetID(), Session(None))
    session.debugger = Lldb(debugger, target, result)
    return session


def _guarded(command, session, argument, result):
    """Errors become a line of LLDB's; a traceback never does."""
    try:
        command.run(session, argument)
    except UserError as error:
        result.SetError(str(error))
    except KeyboardInterrupt:
        result.SetError("interrupted")
    except Exception as error:
        result.SetError(f"core-inspect has an error of its own: {type(error).__name__}: {error}")


def _class_of(command):
    class HeapCommand:
        def __init__(self, debugger, _):
            pass

        def __call__(self, debugger, argument, context, result):
            _guarded(command, _session(debugger, context.GetTarget(), result), argument, result)

        def get_short_help(self):
            return command.summary

        def get_long_help(self):
            return command.help()

    return HeapCommand


def register(debugger):
    """Adds the commands to one of LLDB's debuggers."""
    # Classes of commands are looked for from the names that its scripts have.
    debugger.HandleCommand(f"script import {__name__}")
    for command in COMMANDS:
        name = command.name.replace("-", "_")
        globals()[name] = _class_of(command)
        debugger.HandleCommand(f"command script add -c {__name__}.{name} {command.name}")


def last():
    """The last answer, for scripts."""
    return next((session.last for session in reversed(list(_SESSIONS.values()))), None)
