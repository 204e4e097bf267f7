"""The same without the extension module, for Pythons that cannot load one: each question runs the command line tool."""

import codecs
import os
import select
import shutil
import subprocess
import tempfile
from pathlib import Path

from .errors import Error

PATIENCE = 0.1
# How its lines on standard error begin, and those of its parser of words.
PREFIX = "core-inspect: "
ERROR = "error: "


def tool():
    """The command line tool: as told, in the path, or what cargo made in this checkout."""
    told = os.environ.get("CORE_INSPECT")
    if told:
        return told
    target = Path(__file__).resolve().parents[3] / "target"
    built = [str(target / profile / "core-inspect") for profile in ("release", "debug")]
    found = shutil.which("core-inspect") or next((file for file in built if os.access(file, os.X_OK)), None)
    if found is None:
        raise Error("there is neither the native module nor the program core-inspect")
    return found


class ToolEngine:
    """A core that is opened anew for each question."""

    holds_file = True

    def __init__(self, files):
        self._tool, self._files = tool(), files

    @property
    def tool(self):
        """The program that is asked."""
        return self._tool

    def open(self, say, check):
        """Finds out now whether the core can be opened; returns as `run`."""
        return self._run(["info"], [], lambda text: None, say, check)

    def run(self, words, write, say, check, width, colour):
        """As `NativeEngine.run`; the width is that of a pipe."""
        verb = words[:1] if words and not words[0].startswith("-") else []
        options = words[len(verb) :]
        if colour and not any(word.startswith("--color") for word in options):
            options = [*options, "--color", "always"]
        return self._run(verb, options, write, say, check)

    def _run(self, verb, options, write, say, check):
        with tempfile.TemporaryFile() as said:
            code = _stream([self._tool, *verb, *self._files, *options], said, write, check)
            said.seek(0)
            for line in _lines(said.read().decode("utf-8", "replace")):
                say(line)
        return code


def _lines(said):
    """What the program said, a line each; of an error in the words without the usage below it."""
    if said.startswith(ERROR):
        return [" ".join(said[len(ERROR) :].split("\n\n")[0].split())]
    return [line[len(PREFIX) :] if line.startswith(PREFIX) else line for line in said.splitlines()]


def _stream(command, said, write, check):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    # A session of its own: Ctrl-C is for this program, which ends it below.
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": said}
    try:
        process = subprocess.Popen(command, start_new_session=True, **pipes)
    except OSError as error:
        raise Error(f"{command[0]}: {error.strerror}") from None
    try:
        while True:
            if not select.select([process.stdout], [], [], PATIENCE)[0]:
                check()
                continue
            piece = os.read(process.stdout.fileno(), 1 << 16)
            if not piece:
                return process.wait()
            write(decoder.decode(piece))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
