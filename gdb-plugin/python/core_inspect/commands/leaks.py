"""What nothing refers to any more, and what is there twice."""

from .command import CONTENTS, FILTERS, ROWS, Command, Option

COMMANDS = [
    Command(
        "heap-leaks",
        "leaks",
        "Show what nothing refers to any more",
        "A row for each type of directly lost chunks, with what only they hold. Sort keys: bytes (default, descending), chunks,\n"
        "name.",
        (*FILTERS, *ROWS, Option("--fail-if-leaked", "[=BYTES]", "Say so when more than BYTES are lost (0)")),
        ("", "--size 1k.. --limit 10"),
        addresses=lambda answer: [row.example for row in answer.leaks],
    ),
    Command(
        "heap-duplicates",
        "duplicates",
        "Show chunks that hold the same: one string forty thousand times",
        "A row for each content that several used chunks have. Sort keys: wasted (default, descending), copies, bytes, size.",
        (*FILTERS, Option("--min-copies", "N", "Only contents that at least N chunks have (2)"), CONTENTS, *ROWS),
        ("", "--type text --contents --min-copies 100"),
        addresses=lambda answer: [row.first for row in answer.duplicates],
    ),
]
