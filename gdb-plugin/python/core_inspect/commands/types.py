"""What the chunks are, and the containers that they make up."""

from .command import CONTENTS, FILTERS, ROWS, Command, Option

TYPE = Option("--type", "REGEX", "Only those whose type matches REGEX")
KINDS = ("vector", "deque", "list", "map", "hash")

COMMANDS = [
    Command(
        "heap-types",
        "types",
        "Count chunks by what they are",
        "Used chunks that pass the filters. Sort keys: bytes (default, descending), chunks, name, retained.",
        (*FILTERS, *ROWS, Option("--retained", "", "Also what would be free without them (takes longer)")),
        ("", "--sort chunks --limit 10", "--retained --sort retained"),
    ),
    Command(
        "heap-containers",
        "containers",
        "List every container: elements, room, bytes, and the variable that it is in",
        "Collections that debug information leads to, walked by the rules of their library and checked against their own count.\n"
        "Sort keys: bytes (default, descending), elements, capacity, waste.",
        (
            TYPE,
            Option("--kind", "KIND", f"Only those of this kind: {', '.join(KINDS)}", KINDS),
            Option("--min-elements", "N", "Only those with at least N elements (0)"),
            *ROWS,
        ),
        ("", "--kind list --min-elements 100"),
        addresses=lambda answer: [row.address for row in answer.containers],
    ),
    Command(
        "heap-chains",
        "chains",
        "Show long lists and big containers, and what holds them",
        "Also without debug information. Sort keys: bytes (descending), elements; by default what grows and holds most first.",
        (TYPE, CONTENTS, *ROWS),
        ("", "--type list --sort elements"),
        addresses=lambda answer: [row.first for row in answer.chains],
    ),
    Command(
        "heap-sites",
        "sites",
        "Say which line may have allocated a type, a chunk or a size",
        "Reads the machine code for calls of malloc, operator new and the like that ask for the size of the blocks. They are\n"
        "candidates, not proof.",
        (
            Option("--type", "REGEX", "Blocks whose type matches REGEX"),
            Option("--chunk", "ADDR", "The block that holds this address"),
            Option("--size", "BYTES", "Blocks of so many bytes, as asked for or as usable"),
            Option("--module", "REGEX", "Only the code of modules whose file name matches REGEX"),
            Option("--variable", "", "List the calls of a size that does not show, too"),
            ROWS[0],
            ROWS[2],
        ),
        ("--type Request", "--size 88"),
    ),
]
