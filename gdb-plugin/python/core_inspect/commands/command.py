"""How a command takes words, runs its verb, helps and completes."""

import shlex
from dataclasses import dataclass, field
from typing import Callable, Sequence

from ..dbg import UserError
from ..errors import Error

# How many addresses of an answer the user gets as a value.
KEPT = 1000


@dataclass(frozen=True)
class Option:
    """An option of a verb."""

    name: str
    # What it takes: a placeholder, or nothing.
    value: str
    help: str
    # The words that it takes, where they are few.
    words: Sequence[str] = ()


def form(*words):
    """`--format`, by the verb's forms."""
    return Option("--format", "FORM", f"Form of the output: {', '.join(words)}", words)


LIMIT = Option("--limit", "N", "Print at most N rows")
SORT = Option("--sort", "KEY[:asc|desc]", "Order by KEY; see above")
ROWS = (LIMIT, SORT, form("table", "json", "csv"))
PLACES = (
    *("arena", "mmapped", "slab", "extent", "span", "tcache", "fastbin", "unsorted", "smallbin", "largebin", "unlisted"),
    *("top", "slab-free", "central", "transfer", "page-heap", "returned", "dirty", "muzzy", "retained"),
)
FILTERS = (
    Option("--type", "REGEX", "Those whose type matches REGEX"),
    Option("--size", "MIN..MAX", "Those of this many usable bytes: 64, 1k..64k, 1m.., ..100"),
    Option("--state", "used|free", "Those that the program has, or that the allocator holds", ("used", "free")),
    Option("--place", "PLACE", "Those in this place: arena, tcache, fastbin, top and others", PLACES),
    Option("--arena", "N|main|mmapped", "Those of arena N, of the main arena, or with a mapping of their own"),
    Option("--reach", "REACH", "Those of this reach", ("reachable", "lost", "indirectly-lost")),
)
CONTENTS = Option("--contents", "", "Show how some of them begin: cores keep secrets")
TREE = (
    Option("--depth", "N", "Show N levels (3)"),
    Option("--limit", "N", "Print at most N rows of the first level (20)"),
    Option("--min-share", "PERCENT", "Leave out what retains less than PERCENT of all (1)"),
    form("table", "json", "csv"),
)
# Which files are read; these make another inspection.
FILES = (
    Option("--sysroot", "DIR", "Look for the process's files under DIR"),
    Option("--debug-dir", "DIR", "Look for separate debug files under DIR (may be repeated)"),
    Option("--containers", "FILE", "Walk containers by the rules of FILE too (may be repeated)"),
)
COMMON = (
    *FILES,
    Option("--color", "WHEN", "When to add colour", ("auto", "always", "never")),
    Option("--quiet", "", "No warnings"),
    Option("--verbose", "", "Each problem"),
)


def nothing(_):
    """No addresses."""
    return []


class Described:
    """A command with `name`, `summary`, `text` and `examples`, which can say what it is and complete what is typed."""

    # Whether a word that is no option may be an expression.
    takes_address = False

    def usage(self):
        """How it is typed."""
        raise NotImplementedError

    def all_options(self):
        """Its options."""
        raise NotImplementedError

    def help(self):
        """All that is to be said of it."""
        shown = [(f"{option.name} {option.value}".strip(), option.help) for option in self.all_options()]
        wide = max((len(name) for name, _ in shown), default=0)
        lines = [f"{self.summary}.", "", f"Usage: {self.usage()}", "", self.text]
        lines += ["", "Options:"] if shown else []
        lines += [f"  {name:{wide}}  {text}" for name, text in shown]
        lines += ["", "Examples:", *(f"  {self.name} {example}".rstrip() for example in self.examples)]
        return "\n".join(lines)

    def complete(self, text, word):
        """What `word`, the last of `text`, can become; `None` where it is a part of an expression."""
        before = text[: len(text) - len(word)].split()
        option = next((option for option in self.all_options() if before and option.name == before[-1]), None)
        if option and option.value:
            return [known for known in option.words if known.startswith(word)]
        # To debuggers a dash begins a word: what stands before `word` stays.
        typed = "" if text[-1:].isspace() else (text.split() or [""])[-1]
        if self.takes_address and not typed.startswith("-"):
            return None
        kept = len(typed) - len(word)
        return [option.name[kept:] for option in self.all_options() if option.name.startswith(typed)]


@dataclass(frozen=True)
class Command(Described):
    """A command of a debugger."""

    name: str
    # The verb of the command line; none for the page.
    verb: str
    summary: str
    text: str
    options: Sequence[Option]
    examples: Sequence[str]
    # Whether it is about an address, which may be any expression.
    takes_address: bool = False
    # An answer → the addresses in it, in its order.
    addresses: Callable = field(default=nothing)

    def run(self, session, argument):
        """Runs it with what was typed behind its name. Raises `UserError`."""
        words, expression = self._words(argument)
        if "--help" in words or "-h" in words:
            session.debugger.write(self.help() + "\n")
            return
        files, words = _files(words)
        if self.takes_address:
            if not expression:
                raise UserError(f"{self.name}: an address or an expression is needed")
            words = [f"{session.debugger.evaluate(expression):#x}", *words]
        self._answer(session, session.inspection(**files), [*filter(None, [self.verb]), *words])

    def _answer(self, session, inspection, words):
        debugger = session.debugger
        try:
            inspection.stream(words, debugger.write, debugger.say, debugger.width(), debugger.colour())
            self._keep(session, inspection, words)
        except Error as error:
            raise UserError(str(error)) from None

    def _keep(self, session, inspection, words):
        if self.addresses is nothing:
            return
        words = _without(words, "--format", "--limit")
        if any(option.name == "--limit" for option in self.options):
            words += ["--limit", KEPT]
        session.last = inspection.ask(*words, "--quiet")
        addresses = [int(address, 16) for address in self.addresses(session.last) if address]
        session.debugger.keep(addresses[:KEPT], self.verb == "chunk")

    def _words(self, argument):
        """Options, and what is none of them: an expression, whose quotes are the debugger's."""
        if not self.takes_address:
            try:
                return shlex.split(argument), ""
            except ValueError as error:
                raise UserError(f"{self.name}: {str(error).lower()}") from None
        takes = {option.name for option in self.all_options() if option.value}
        words, rest, typed = [], [], iter(argument.split())
        for word in typed:
            if word.startswith("--") or word == "-h":
                words.append(word)
                words += [value for value in [next(typed, None)] if value] if word in takes else []
            else:
                rest.append(word)
        return words, " ".join(rest)

    def all_options(self):
        """The verb's own, and those of every verb."""
        return (*self.options, *COMMON)

    def usage(self):
        """How it is typed."""
        return f"{self.name} {'ADDR|EXPR ' if self.takes_address else ''}[OPTIONS]"


def _files(words):
    """The options that say which files are read, and the other words."""
    fields = {"--sysroot": "sysroot", "--debug-dir": "debug_dirs", "--containers": "containers"}
    files, rest, typed = {"debug_dirs": [], "containers": []}, [], iter(words)
    for word in typed:
        name, _, value = word.partition("=")
        if name not in fields:
            rest.append(word)
            continue
        value = value or next(typed, None)
        if value is None:
            raise UserError(f"{name}: a value is needed")
        if name == "--sysroot":
            files["sysroot"] = value
        else:
            files[fields[name]].append(value)
    return files, rest


def _without(words, *names):
    rest, typed = [], iter(words)
    for word in typed:
        if word in names:
            next(typed, None)
        elif word.partition("=")[0] not in names:
            rest.append(word)
    return rest
