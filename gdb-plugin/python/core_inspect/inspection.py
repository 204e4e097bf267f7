"""A core that answers questions with objects, made of the JSON of the command line's verbs."""

import functools
import json
import os

from .errors import Error
from .fallback import ToolEngine
from .native import NativeEngine


class Record(dict):
    """An object of an answer: its fields are attributes, and keys of a dict too."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no field {name!r}; there are {', '.join(self)}") from None

    def __dir__(self):
        return [*super().__dir__(), *self]


def open(core, binary=None, *, sysroot=None, debug_dirs=(), containers=()):
    """Opens a core; `binary` is the program that made it, where it is not where the core says."""
    inspection = Inspection(core, binary, sysroot=sysroot, debug_dirs=debug_dirs, containers=containers)
    inspection.prepare()
    return inspection


def _path(path):
    """A path as a word of the command line that is no option."""
    path = os.fsdecode(path)
    return f"./{path}" if path.startswith("-") else path


class Inspection:
    """A core under inspection: what was worked out for one question is there for the next."""

    def __init__(self, core, binary=None, *, sysroot=None, debug_dirs=(), containers=()):
        files = [_path(core)] + ([_path(binary)] if binary else [])
        files += ["--sysroot", os.fsdecode(sysroot)] if sysroot else []
        for option, paths in (("--debug-dir", debug_dirs), ("--containers", containers)):
            for path in paths:
                files += [option, os.fsdecode(path)]
        self.check = lambda: None
        self.fallback = None
        try:
            self._engine = NativeEngine(files)
        except (ImportError, OSError) as error:
            self._engine = ToolEngine(files)
            self.fallback = f"the native module cannot be loaded ({error}); asking {self._engine.tool} instead"

    @property
    def holds_file(self):
        """Whether the core's file must stay."""
        return self._engine.holds_file

    def prepare(self):
        """Opens the core now, and not with the first question."""
        said = []
        self._end(self._engine.open(said.append, self.check), said, lambda line: None)

    def stream(self, words, write, say=lambda line: None, width=100, colour=False):
        """Runs a verb as on the command line, without the core: text to `write`, warnings to `say`. Returns the exit code, 0
        or 1; what would be 2 there is an `Error` here."""
        said = []
        code = self._engine.run([str(word) for word in words], write, said.append, self.check, width, colour)
        return self._end(code, said, say)

    @staticmethod
    def _end(code, said, say):
        # The last line says why there is no answer; those before it are warnings.
        reason = said.pop() if said and code not in (0, 1) else f"core-inspect ended with {code}"
        for line in said:
            say(line)
        if code not in (0, 1):
            raise Error(reason)
        return code

    def ask(self, *words, **options):
        """The answer of a verb: `ask("chunks", "--limit", 5)`, or `ask("chunks", limit=5)`. No verb: the page."""
        words = [str(word) for word in words]
        for name, value in options.items():
            option = "--" + name.rstrip("_").replace("_", "-")
            if value is True:
                words.append(option)
            elif value is not None and value is not False:
                words.append(f"{option}={value}")
        text = []
        self.stream([*words, "--format", "json"], text.append)
        return json.loads("".join(text), object_hook=Record)

    @functools.cached_property
    def report(self):
        """The page."""
        return self.ask()

    def info(self):
        """Threads, modules, mappings."""
        return self.ask("info")

    def chunks(self, **filters):
        """Chunks, by address or as `sort` says."""
        return self.ask("chunks", **filters).chunks

    def containers(self, **filters):
        """Containers, by debug information."""
        return self.ask("containers", **filters).containers

    def owners(self, **options):
        """Who holds the memory, as rows of a tree."""
        return self.ask("owners", **options).rows

    def dominators(self, **options):
        """Who alone keeps what alive, as rows of a tree."""
        return self.ask("dominators", **options).rows

    def frames(self, **options):
        """What the threads were doing, and what only they hold."""
        return self.ask("frames", **options).threads

    def chunk(self, address):
        """What is at an address."""
        return self.ask("chunk", _address(address))

    def refs(self, address, **options):
        """Who refers to the chunk at an address."""
        return self.ask("refs", _address(address), **options)

    def path(self, address):
        """How a root reaches the chunk at an address."""
        return self.ask("path", _address(address))


def _address(address):
    return hex(address) if isinstance(address, int) else str(address)


def _of_page(field):
    return property(lambda self: self.report[field], doc=f"`report.{field}`.")


for _field in ("memory", "allocators", "totals", "types", "leaks", "suspects", "problems"):
    setattr(Inspection, _field, _of_page(_field))
