"""The page, and the heap as a whole: chunks, who holds them, waste."""

from .command import CONTENTS, FILTERS, LIMIT, ROWS, TREE, Command, Option, form

COMMANDS = [
    Command(
        "heap-report",
        "",
        "Say on one page what holds the memory",
        "What the process was, where its memory is, which types fill it, which list or container holds it and from where,\n"
        "what is lost, and how sure all of that is.",
        (Option("--limit", "N", "Rows in each table of the page (15)"), CONTENTS, form("table", "json")),
        ("", "--limit 5", "--format json"),
        addresses=lambda page: [suspect.first for suspect in page.suspects],
    ),
    Command(
        "heap-chunks",
        "chunks",
        "List each chunk: address, size, state, place, arena, reach, type",
        "One line a chunk in address order. Sort keys: address (default), size, type.",
        (*FILTERS, *ROWS),
        ("--state used --size 1m.. --sort size:desc --limit 20", "--reach lost --type 'std::.*'"),
        addresses=lambda answer: [chunk.address for chunk in answer.chunks],
    ),
    Command(
        "heap-owners",
        "owners",
        "Show which variables, threads and other roots hold the memory",
        "Root words of one variable are one owner; what several variables hold together has a row of its own.",
        TREE,
        ("", "--depth 1 --limit 10"),
        addresses=lambda answer: [row.address for row in answer.rows],
    ),
    Command(
        "heap-dominators",
        "dominators",
        "Show who alone keeps what alive: owners and chunks by what they retain",
        "What a row retains would be free without it. With filters: the topmost chunks that pass.",
        (*FILTERS, *TREE),
        ("--depth 5 --min-share 0.1", "--type Session"),
        addresses=lambda answer: [row.address for row in answer.rows],
    ),
    Command(
        "heap-frames",
        "frames",
        "Show what the threads are doing, and what each call in progress keeps alive",
        "What only a thread's stack, registers and thread-local storage hold, the most first.",
        (Option("--thread", "TID", "Only the thread with this id"), LIMIT, form("table", "json", "csv")),
        ("", "--limit 3"),
    ),
    Command(
        "heap-waste",
        "waste",
        "Show bytes that are held for nothing: zeros, empty tails, null pointers, pinned free memory",
        "A row for each kind, each chunk in one of them at most, and the chunks that waste most.",
        (*FILTERS, LIMIT, form("table", "json", "csv")),
        ("", "--size 1m.."),
        addresses=lambda answer: [block.address for block in answer.blocks],
    ),
]
