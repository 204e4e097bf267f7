"""Allocations as gdb sees them: breakpoints on the allocator's functions as the link map resolves them, and on the places
they return to. No `FinishBreakpoint`: that takes 3 to 5 ms each, and loses returns (bata24/gef#78).

The places of return stay once they are known: a function is called from few places, and after them nothing is planted.
"""

import os
import struct
import threading
import time

import gdb

from ..track.book import Book, Event
from ..track.elf import functions as functions_of
from ..track.functions import FUNCTIONS, OPERATORS, PASS_THROUGH
from . import UserError

ARGUMENTS = ("rdi", "rsi", "rdx")
MASK = (1 << 64) - 1
# struct link_map { l_addr; l_name; l_ld; l_next; … }, from r_debug.r_map at +8 (glibc elf/link.h); so many modules at most.
R_MAP = 8
MODULES = 4096
INT3 = b"\xcc"


def _u64(address):
    return struct.unpack("<Q", bytes(gdb.selected_inferior().read_memory(address, 8)))[0]


def _modules():
    """Load bias and file of each module, in the order in which names are looked up."""
    try:
        at = _u64(int(gdb.parse_and_eval("(unsigned long) &_r_debug")) + R_MAP)
    except gdb.error:
        raise UserError("there is no dynamic linker: static programs are not followed") from None
    found = []
    while at and len(found) < MODULES:
        bias, name, _, at = struct.unpack("<QQQQ", bytes(gdb.selected_inferior().read_memory(at, 32)))
        text = gdb.Value(name).cast(gdb.lookup_type("char").pointer()).string() if name else ""
        path = text or ("" if found else gdb.current_progspace().filename)
        if path and os.path.exists(path):
            found.append((bias, path))
    return found


def resolve(names):
    """Address → name of each function that the program's calls reach; of a name the first module's that has it."""
    modules = [(bias, path, functions_of(path)) for bias, path in _modules()]
    found = {}
    for name in names:
        bias, path, function = next(
            ((bias, path, known[name]) for bias, path, known in modules if name in known), (0, "", None)
        )
        if function is None or name in OPERATORS and os.path.basename(path).startswith(PASS_THROUGH):
            continue
        if function.is_ifunc:
            raise UserError(f"{name} in {path} is chosen at run time (IFUNC): name what it chooses with --function")
        # Aliases are one function.
        found.setdefault(bias + function.svma, name)
    return found


class _Entry(gdb.Breakpoint):
    """On the first instruction of a function."""

    def __init__(self, tracker, address, name, function):
        super().__init__(f"*{address:#x}", internal=True)
        self.silent = True
        self._tracker, self._name, self._function = tracker, name, function

    def stop(self):
        return self._tracker.guarded(self._tracker.entered, self._function)


class _Return(gdb.Breakpoint):
    """Where one of them was called from."""

    def __init__(self, tracker, address):
        super().__init__(f"*{address:#x}", internal=True)
        self.silent = True
        self._tracker = tracker

    def stop(self):
        return self._tracker.guarded(self._tracker.returned)


class _Call:
    """A call in progress: of which function, with what; its stack pointer tells it from others."""

    __slots__ = ("function", "sp", "size", "old", "out", "stack")

    def __init__(self, function, sp, arguments, stack):
        self.function, self.sp, self.stack = function, sp, stack
        self.size = function.size(*arguments) & MASK if function.size else 0
        self.old = function.old(*arguments) if function.old else 0
        self.out = arguments[0] if function.is_through_argument else 0


class Tracker:
    """Tracking that is on."""

    def __init__(self, slice_seconds, depth, names=()):
        inferior = gdb.selected_inferior()
        if inferior.architecture().name() != "i386:x86-64":
            raise UserError(f"allocations are followed on x86-64 only, and this is {inferior.architecture().name()}")
        known = {**FUNCTIONS, **OPERATORS}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UserError(f"{unknown[0]}: its arguments are not known; known are {', '.join(FUNCTIONS)}")
        self.book = Book(slice_seconds)
        self.process = (inferior.num, inferior.pid)
        self._depth = depth
        self._calls = {}
        # Stack pointer and pointer of each thread's last free, where it allocated nothing since.
        self._last_free = {}
        self._returns = {}
        self._ran, self._since = 0.0, None
        self.lost = 0
        self._names = resolve(names or known)
        if not self._names:
            raise UserError("no function that allocates was found: is it stopped before its libraries are loaded?")
        self._bytes = {address: self._byte(address) for address in self._names}
        gdb.events.cont.connect(self._goes)
        gdb.events.stop.connect(self._stops)
        for event in self._signs_of_another():
            event.connect(self._leave_if_gone)
        self._entries = [_Entry(self, at, name, known[name]) for at, name in self._names.items()]

    def names(self):
        """What is followed."""
        return [f"{name} at {address:#x}" for address, name in self._names.items()]

    @staticmethod
    def _signs_of_another():
        # gdb has no event of a detach; one of these comes before another process runs.
        return gdb.events.exited, gdb.events.new_objfile, gdb.events.before_prompt

    def _leave_if_gone(self, _=None):
        """Breakpoints are addresses of this process: in another one they would hit anything."""
        inferior = gdb.selected_inferior()
        if (inferior.num, inferior.pid) != self.process:
            self._take_out()

    def _take_out(self):
        for breakpoint_ in [*self._entries, *self._returns.values()]:
            if breakpoint_.is_valid():
                breakpoint_.delete()

    # The clock runs while the process does.

    def now(self):
        """Seconds of the process's running since the start."""
        return self._ran + (time.monotonic() - self._since if self._since is not None else 0.0)

    def _goes(self, _):
        if self._since is None:
            self._since = time.monotonic()

    def _stops(self, _):
        self._ran, self._since = self.now(), None

    # Stops.

    def guarded(self, handler, *arguments):
        """Whether the process must stay stopped: Ctrl-C may come while it is stopped here, and is for the user."""
        try:
            handler(*arguments)
        except KeyboardInterrupt:
            return True
        except gdb.error:
            self.lost += 1
        return False

    def entered(self, function):
        """A thread is at the first instruction of a function."""
        frame, thread = gdb.newest_frame(), gdb.selected_thread().ptid[1]
        sp = int(frame.read_register("rsp")) & MASK
        arguments = [int(frame.read_register(name)) & MASK for name in ARGUMENTS]
        calls = self._calls.setdefault(thread, [])
        # The stack grows down: calls at or above this one have returned without being seen, or jumped here (`realloc` of
        # nothing jumps into `malloc`), which returns for them.
        jumped = None
        while calls and calls[-1].sp <= sp:
            jumped = calls.pop()
            if jumped.sp != sp:
                self.lost += 1
        if calls:
            # Within another one of them: its caller's.
            calls.append(_Call(function, sp, arguments, ()))
            self._wait_at(_u64(sp))
            return
        if function.size is None:
            self._freed(thread, sp, arguments[0])
            return
        self._last_free.pop(thread, None)
        is_jump = jumped is not None and jumped.sp == sp
        stack = jumped.stack if is_jump else self._stack(frame)
        call = _Call(function, sp, arguments, stack)
        if call.old:
            # Before the call: another thread may get the address before it returns.
            self.book.take(Event("free", thread, self.now(), call.old, 0, ()))
        calls.append(call)
        self._wait_at(_u64(sp))

    def _freed(self, thread, sp, pointer):
        last_sp, last_pointer = self._last_free.get(thread, (0, 0))
        # `operator delete` may jump or call on to `free`: it is one free.
        is_inner = pointer == last_pointer and sp <= last_sp
        self._last_free[thread] = (sp, pointer)
        if pointer and not is_inner:
            self.book.take(Event("free", thread, self.now(), pointer, 0, ()))

    def returned(self):
        """A thread is where a function may have been called from."""
        frame, thread = gdb.newest_frame(), gdb.selected_thread().ptid[1]
        calls = self._calls.get(thread)
        if not calls:
            return
        # The return has taken its address from the stack.
        sp = (int(frame.read_register("rsp")) & MASK) - 8
        while calls and calls[-1].sp < sp:
            calls.pop()
            self.lost += 1
        if not calls or calls[-1].sp != sp:
            return
        call = calls.pop()
        if calls or call.function.size is None:
            return
        result = int(frame.read_register("rax")) & MASK
        if call.function.is_through_argument:
            result = _u64(call.out) if result & 0xFFFFFFFF == 0 else 0
        if result:
            self.book.take(Event("alloc", thread, self.now(), result, call.size, call.stack))

    def _wait_at(self, address):
        if address not in self._returns:
            self._bytes.setdefault(address, self._byte(address))
            self._returns[address] = _Return(self, address)

    def _stack(self, frame):
        pcs = []
        frame = frame.older()
        while frame is not None and len(pcs) < self._depth:
            # What was inlined has the program counter of what it is in.
            if frame.type() != gdb.INLINE_FRAME:
                pcs.append(frame.pc())
            frame = frame.older()
        return tuple(pcs)

    # The end.

    def off(self):
        """Takes all breakpoints out, and returns how many places do not hold what they held before, `None` where that could
        not be looked at."""
        gdb.events.cont.disconnect(self._goes)
        gdb.events.stop.disconnect(self._stops)
        for event in self._signs_of_another():
            event.disconnect(self._leave_if_gone)
        self._take_out()
        inferior = gdb.selected_inferior()
        if (inferior.num, inferior.pid) != self.process:
            return None
        now = [(self._byte(address), before) for address, before in self._bytes.items()]
        if any(byte is None or before is None for byte, before in now):
            return None
        return sum(byte != before or byte == INT3 for byte, before in now)

    @staticmethod
    def _byte(address):
        """As the process has it: gdb hides its own breakpoints."""
        connection = gdb.selected_inferior().connection
        if connection is None or connection.type != "native":
            return None
        try:
            with open(f"/proc/{gdb.selected_inferior().pid}/mem", "rb", buffering=0) as memory:
                return os.pread(memory.fileno(), 1, address)
        except OSError:
            return None


def run_for(seconds):
    """Lets the process run for so long, or until it stops by itself."""
    is_over = threading.Event()

    def stop():
        if not is_over.is_set():
            gdb.execute("interrupt -a" if gdb.parameter("non-stop") else "interrupt", to_string=True)

    timer = threading.Timer(seconds, lambda: gdb.post_event(stop))
    timer.daemon = True
    timer.start()
    try:
        gdb.execute("continue", to_string=True)
    finally:
        is_over.set()
        timer.cancel()


def names_of(pc):
    """A return address in words: what was inlined there, innermost first and with its line, then the function itself."""
    # The call, not what follows it.
    at = gdb.find_pc_line(pc - 1)
    block = gdb.current_progspace().block_for_pc(pc - 1)
    names = []
    while block is not None and not block.is_static and not block.is_global:
        if block.function is not None:
            names.append(block.function.print_name)
        block = block.superblock
    if names:
        where = f" {os.path.basename(at.symtab.filename)}:{at.line}" if at.symtab else ""
        return [names[0] + where, *names[1:]]
    text = gdb.execute(f"info symbol {pc - 1:#x}", to_string=True).strip()
    return [text.split(" in section ")[0] if " in section " in text else f"{pc:#x}"]
