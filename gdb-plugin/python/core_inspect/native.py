"""The extension module, and a core that is asked through it.

From a wheel it is a part of this package; in a checkout it is what `cargo build -p core-inspect-gdb-plugin` made.
"""

import codecs
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

from .errors import Error

NAME = "core_inspect._core_inspect"
# How long to be deaf to Ctrl-C, in seconds.
PATIENCE = 0.1


def load():
    """The extension module. Raises ImportError where there is none, or where this Python cannot load it."""
    if NAME in sys.modules:
        return sys.modules[NAME]
    try:
        return importlib.import_module(NAME)
    except ModuleNotFoundError:
        pass
    found = next(iter(_built()), None)
    if found is None:
        raise ImportError("it is not built: cargo build --release -p core-inspect-gdb-plugin")
    loader = importlib.machinery.ExtensionFileLoader(NAME, str(found))
    spec = importlib.util.spec_from_file_location(NAME, found, loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[NAME] = module
    return module


def _built():
    """Where it may be: as told, else what cargo made last in this checkout."""
    told = os.environ.get("CORE_INSPECT_MODULE")
    if told:
        return [Path(told)]
    target = Path(__file__).resolve().parents[3] / "target"
    built = [target / profile / "lib_core_inspect.so" for profile in ("release", "debug")]
    return sorted((file for file in built if file.exists()), key=lambda file: -file.stat().st_mtime)


class NativeEngine:
    """A core in this process."""

    # The file may go away once the core is open.
    holds_file = False

    def __init__(self, files):
        self._core = load().Core(files)

    def open(self, say, check):
        """Opens the core now, and not with the first question; returns as `run`."""
        return self._finish(self._core.ask(None, 0, False), lambda text: None, say, check)

    def run(self, words, write, say, check, width, colour):
        """Runs a verb; its text goes to `write`, what it says to `say`; `check` is called while nothing comes. Returns the
        exit code. Whatever is raised meanwhile (Ctrl-C, a reader who has seen enough) ends it."""
        return self._finish(self._core.ask(words, width, colour), write, say, check)

    @staticmethod
    def _finish(job, write, say, check):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        try:
            while True:
                piece = job.next(PATIENCE)
                if isinstance(piece, bytes):
                    write(decoder.decode(piece))
                elif isinstance(piece, str):
                    say(piece)
                elif piece is None:
                    check()
                else:
                    return piece
        except RuntimeError as error:
            raise Error(f"core-inspect has an error of its own: {error}") from None
        finally:
            job.cancel()
