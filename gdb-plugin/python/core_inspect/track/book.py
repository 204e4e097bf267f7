"""Events of allocation → for each stack what is alive in each slice of time, and what of each slice's births survives.

An event has one form whatever saw it, so that other sources need nothing here.
"""

from dataclasses import dataclass, field
from typing import List, NamedTuple, Tuple


class Event(NamedTuple):
    """An allocation or a free that took place."""

    # "alloc" or "free".
    op: str
    # Kernel thread id.
    thread: int
    # Seconds since tracking began, in which the process ran.
    time: float
    # What was returned, or given back.
    pointer: int
    # Bytes that were asked for; 0 of a free.
    size: int
    # Program counters, the allocator's caller first; none of a free.
    stack: Tuple[int, ...]


@dataclass
class Stack:
    """Allocations of one stack."""

    pcs: Tuple[int, ...]
    # Alive now.
    bytes: int = 0
    # Bytes alive at the end of each slice that is over.
    live: List[int] = field(default_factory=list)
    # Allocations of each slice, and those of them that are alive.
    births: List[int] = field(default_factory=list)
    survivors: List[int] = field(default_factory=list)

    def reach(self, slice_):
        """Brings the series up to a slice."""
        self.live += [self.bytes] * (slice_ - len(self.live))
        for series in (self.births, self.survivors):
            series += [0] * (slice_ + 1 - len(series))


class Book:
    """All that was seen."""

    def __init__(self, slice_seconds):
        self.slice_seconds = slice_seconds
        self.stacks = {}
        self.allocations = self.frees = self.unknown_frees = 0
        self._live = {}

    def take(self, event):
        """Enters an event; they come in the order of their times."""
        slice_ = int(event.time / self.slice_seconds)
        if event.op == "free":
            self._free(event.pointer, slice_)
            return
        # An address that comes twice was freed where nobody looked.
        self._forget(event.pointer, slice_)
        self.allocations += 1
        stack = self.stacks.get(event.stack)
        if stack is None:
            stack = self.stacks[event.stack] = Stack(event.stack)
        stack.reach(slice_)
        stack.bytes += event.size
        stack.births[slice_] += 1
        stack.survivors[slice_] += 1
        self._live[event.pointer] = (stack, slice_, event.size)

    def _free(self, pointer, slice_):
        self.frees += 1
        if not self._forget(pointer, slice_):
            self.unknown_frees += 1

    def _forget(self, pointer, slice_):
        entry = self._live.pop(pointer, None)
        if entry is None:
            return False
        stack, born, size = entry
        stack.reach(slice_)
        stack.bytes -= size
        stack.survivors[born] -= 1
        return True

    def series(self, stack, now, cutoff):
        """Live bytes of the slices that are over; births and survivors of those that are older than the cutoff."""
        over = int(now / self.slice_seconds)
        stack.reach(over)
        old = max(0, int((now - cutoff) / self.slice_seconds))
        return [float(size) for size in stack.live[:over]], stack.births[:old], stack.survivors[:old]

    def pointers(self, stack, now, cutoff):
        """What is alive of a stack and older than the cutoff, the oldest first."""
        old = max(0, int((now - cutoff) / self.slice_seconds))
        found = [(born, pointer) for pointer, (of, born, _) in self._live.items() if of is stack and born < old]
        return [pointer for _, pointer in sorted(found)]
