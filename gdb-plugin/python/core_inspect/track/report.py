"""A book → verdicts for each stack, and who holds what survives: as data, and as a table."""

from collections import Counter

from ..errors import Error
from ..native import load

# Pointers of a stack that are looked up in the heap, and stacks whose pointers are.
LOOKED_UP = 16
JOINED = 5
# Characters of a frame in the table: templates have long names.
NAME = 60


def report(book, now, cutoff, names_of, inspection=None):
    """Rows, those that grow fastest first. `names_of` puts a return address in words."""
    verdict = load().verdict
    rows = []
    for stack in book.stacks.values():
        live, births, survivors = book.series(stack, now, cutoff)
        row = verdict(live, births, survivors)
        row.update(
            slope_per_second=row.pop("slope") / book.slice_seconds,
            slope_per_second_low=row.pop("slope_low") / book.slice_seconds,
            slope_per_second_high=row.pop("slope_high") / book.slice_seconds,
            live_bytes=stack.bytes,
            births=sum(stack.births),
            live=live,
            births_by_slice=births,
            survivors_by_slice=survivors,
        )
        rows.append((row, stack))
    rows.sort(key=lambda pair: (not pair[0]["is_leak"], -pair[0]["slope_per_second"], pair[1].pcs))
    for number, (row, stack) in enumerate(rows, 1):
        row["stack"] = number
        row["frames"] = [name for pc in stack.pcs for name in names_of(pc)]
        row["holders"] = []
        if inspection is not None and number <= JOINED and row["survivors"]:
            row["holders"] = holders(inspection, book.pointers(stack, now, cutoff))
    return {
        "seconds": now,
        "slice_seconds": book.slice_seconds,
        "cutoff_seconds": cutoff,
        "allocations": book.allocations,
        "frees": book.frees,
        "unknown_frees": book.unknown_frees,
        "sampling": "every allocation",
        "stacks": [row for row, _ in rows],
    }


def holders(inspection, pointers):
    """Who holds some of these pointers, spread over their ages: owner and type with how many, the most first."""
    step = max(1, len(pointers) // LOOKED_UP)
    found = Counter()
    for pointer in pointers[::step][:LOOKED_UP]:
        try:
            answer = inspection.chunk(pointer)
        except Error:
            continue
        if answer.chunk is None or answer.chunk.state != "used":
            found["", "freed meanwhile"] += 1
            continue
        owner = answer.owner or next((step.name for step in reversed(answer.dominators)), "")
        found[_of_any(owner), answer.chunk.type] += 1
    return [{"owner": owner, "type": type_, "looked_up": count} for (owner, type_), count in found.most_common()]


def _of_any(owner):
    """An owner without what tells its elements apart: `g_server.pending_[*]->body_` → `g_server.pending_`."""
    return owner.split("[*]")[0]


def table(found):
    """The report for people."""
    lines = [
        f"{found['seconds']:.1f} s in slices of {found['slice_seconds']:g} s: {found['allocations']:,} allocations, "
        f"{found['frees']:,} frees ({found['unknown_frees']:,} of what was there before), {len(found['stacks']):,} stacks; "
        f"{found['sampling']}"
    ]
    if not found["stacks"]:
        lines.append("Nothing was allocated in that time.")
    for row in found["stacks"]:
        lines += ["", *_row(row)]
    return "\n".join(lines) + "\n"


def _row(row):
    words = {"too-few-samples": "too few samples", "log": "log (a cache that fills)"}
    low, high = row["slope_per_second_low"], row["slope_per_second_high"]
    line = f"stack {row['stack']}: {words.get(row['growth'], row['growth'])}"
    if row["growth"] != "too-few-samples":
        line += f", {row['slope_per_second']:,.0f} B/s ({low:,.0f}..{high:,.0f})"
    yield f"{line}; {row['survivors']:,} of {row['births']:,} survive, {row['live_bytes']:,} B live"
    asked = sum(holder["looked_up"] for holder in row["holders"])
    for holder in row["holders"][:3]:
        by = f"held through {holder['owner']}" if holder["owner"] else "held by nobody that is known"
        if holder["type"] == "freed meanwhile":
            by = "not there any more"
        else:
            by = f"{by} ({holder['type']})"
        yield f"    {holder['looked_up']} of {asked} looked up: {by}"
    shown = [name if len(name) <= NAME else f"{name[: NAME - 1]}…" for name in row["frames"][:8]]
    yield "    " + " < ".join(shown) + (" < …" if len(row["frames"]) > len(shown) else "")
