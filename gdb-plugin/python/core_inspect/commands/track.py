"""Allocations while the process runs: from which stacks they come, whether they grow, and who holds them."""

import json
import re
import shlex
from dataclasses import dataclass
from typing import Callable, Sequence

from ..dbg import UserError
from ..track.report import report, table
from .command import Described, Option, form

SECONDS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600}
FOR = Option("--for", "TIME", "How long the process runs: 20s, 500ms, 2m (60s)")
SLICE = Option("--slice", "TIME", "Length of a slice (1s); twenty or more are needed to tell curves apart")
DEPTH = Option("--depth", "N", "Frames of a stack (16)")
FUNCTION = Option("--function", "NAME", "Follow this function only (may be repeated)")
CUTOFF = Option("--cutoff", "TIME", "What is younger does not count as survived (two slices)")
HOLDERS = Option("--no-holders", "", "Do not look up who holds what survives")
FORM = form("table", "json")


@dataclass(frozen=True)
class TrackCommand(Described):
    """A command about tracking."""

    name: str
    summary: str
    text: str
    options: Sequence[Option]
    examples: Sequence[str]
    work: Callable
    takes_word: bool = False

    def run(self, session, argument):
        """Runs it with what was typed behind its name. Raises `UserError`."""
        try:
            words = shlex.split(argument)
        except ValueError as error:
            raise UserError(f"{self.name}: {str(error).lower()}") from None
        if "--help" in words or "-h" in words:
            session.debugger.write(self.help() + "\n")
            return
        self.work(session, self._options(words))

    def _options(self, words):
        typed, found = iter(words), {"--function": []}
        for word in typed:
            name, is_joined, value = word.partition("=")
            if self.takes_word and word == "malloc":
                continue
            option = next((option for option in self.options if option.name == name), None)
            if option is None:
                raise UserError(f"unexpected argument '{word}' found")
            if option.value:
                value = value if is_joined else next(typed, None)
                if value is None:
                    raise UserError(f"{name}: a value is needed")
                if option.words and value not in option.words:
                    raise UserError(f"{name} {value}: not one of {', '.join(option.words)}")
            if name == "--function":
                found[name].append(value)
            else:
                found[name] = value or True
        return found

    def usage(self):
        """How it is typed."""
        return f"{self.name} {'malloc ' if self.takes_word else ''}[OPTIONS]"

    def all_options(self):
        """Its options."""
        return self.options


def _time(options, name, otherwise):
    word = options.get(name)
    if word is None:
        return otherwise
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|)", word)
    if found is None or float(found[1]) == 0:
        raise UserError(f"{name} {word}: not a time; 20s, 500ms and 2m are")
    return float(found[1]) * SECONDS[found[2]]


def _number(options, name, otherwise):
    word = options.get(name)
    if word is None:
        return otherwise
    if not word.isdecimal() or not 1 <= int(word) <= 256:
        raise UserError(f"{name} {word}: not a number from 1 to 256")
    return int(word)


def _on(session, options):
    tracking = session.tracking
    slice_, depth = _time(options, "--slice", 1.0), _number(options, "--depth", 16)
    tracking.on(slice_, depth, options["--function"])
    session.debugger.say(f"core-inspect: following {', '.join(tracking.names())}")
    session.debugger.say("core-inspect: each call stops the process twice; until leak-off, killing the debugger kills it")


def _report(session, options, joins=True):
    tracking = session.tracking
    book, now = tracking.book(), tracking.now()
    cutoff = _time(options, "--cutoff", 2 * book.slice_seconds)
    inspection = session.inspection() if joins and "--no-holders" not in options and book.stacks else None
    found = report(book, now, cutoff, tracking.names_of, inspection)
    session.last = found
    is_json = options.get("--format") == "json"
    session.debugger.write(json.dumps(found, indent=2) + "\n" if is_json else table(found))


def _off(session, options):
    tracking = session.tracking
    tracking.book()
    try:
        _report(session, options, joins=tracking.is_alive())
    finally:
        changed = tracking.off()
        if changed is None:
            said = "whether the code is as it was could not be looked at"
        elif changed:
            said = f"{changed} places of the code are not as they were: leave the process stopped, and detach"
        else:
            said = "the code is as it was"
        session.debugger.say(f"core-inspect: all breakpoints are out; {said}")


def _status(session, _):
    tracking = session.tracking
    book = tracking.book()
    session.debugger.write(
        f"on for {tracking.now():.1f} s: {book.allocations:,} allocations, {book.frees:,} frees, {len(book.stacks):,} "
        f"stacks; {tracking.lost():,} calls whose return was not seen\n"
    )


def _track(session, options):
    seconds = _time(options, "--for", 60.0)
    _on(session, options)
    try:
        session.tracking.run_for(seconds)
    finally:
        _off(session, options)


COMMANDS = [
    TrackCommand(
        "leak-track",
        "Follow allocations for a while, and say which stacks leak and who holds what they leak",
        "Every allocation and free, with stacks, in slices of time. A stack is a leak when what it allocates survives and\n"
        "grows by the same in the same time or faster; a cache that fills, a pool and a constant are told apart.",
        (FOR, SLICE, CUTOFF, DEPTH, FUNCTION, HOLDERS, FORM),
        ("malloc --for 20s", "malloc --for 10m --slice 10s --cutoff 1m"),
        _track,
        takes_word=True,
    ),
    TrackCommand(
        "leak-on",
        "Begin to follow allocations",
        "The process goes on with `continue`; `leak-report` at any stop says what was seen, `leak-off` ends it.",
        (SLICE, DEPTH, FUNCTION),
        ("", "--slice 500ms"),
        _on,
    ),
    TrackCommand(
        "leak-report",
        "Say what was seen since leak-on",
        "Nothing ends.",
        (CUTOFF, HOLDERS, FORM),
        ("", "--cutoff 20s"),
        _report,
    ),
    TrackCommand(
        "leak-off",
        "Report, and end following allocations",
        "All breakpoints are taken out, and the code is compared with what it was.",
        (CUTOFF, HOLDERS, FORM),
        ("", "--format json"),
        _off,
    ),
    TrackCommand("leak-status", "Say whether allocations are followed", "And what was seen so far.", (), ("",), _status),
]
