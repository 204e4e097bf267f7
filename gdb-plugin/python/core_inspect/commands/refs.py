"""One address: what it is, who refers to it, how the program gets there."""

from .command import Command, Option, form

ADDRESS = "The address may point anywhere into a chunk, or anywhere else; it may be any expression of the debugger.\n"

COMMANDS = [
    Command(
        "heap-chunk",
        "chunk",
        "Say what is at an address: chunk, state, type, neighbours, who refers to it",
        ADDRESS + "`$_heap` is the chunk's address afterwards (gdb).",
        (form("table", "json"),),
        ("0x5581f0c2a2b0", "request->body"),
        takes_address=True,
        addresses=lambda answer: [answer.chunk and answer.chunk.address],
    ),
    Command(
        "heap-refs",
        "refs",
        "List who refers to the chunk at an address",
        ADDRESS + "`$_heap` is an array of the words that refer to it (gdb).",
        (Option("--limit", "N", "Print at most N references (50)"), form("table", "json", "csv")),
        ("0x5581f0c2a2b0 --limit 100",),
        takes_address=True,
        addresses=lambda answer: [row.address for row in answer.referrers],
    ),
    Command(
        "heap-path",
        "path",
        "Show a path from a root to the chunk at an address",
        ADDRESS + "`$_heap` is an array of what the path goes through (gdb).",
        (form("table", "json"),),
        ("0x5581f0c2a2b0",),
        takes_address=True,
        addresses=lambda answer: [step.address for step in answer.steps],
    ),
]
