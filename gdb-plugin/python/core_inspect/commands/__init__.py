"""The commands, written once for every debugger: each is a verb of the command line about what the debugger looks at."""

from . import heap, leaks, refs, types

COMMANDS = [*heap.COMMANDS, *types.COMMANDS, *leaks.COMMANDS, *refs.COMMANDS]
