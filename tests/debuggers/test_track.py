"""Tracking of allocations: the book by hand, and leak-track in gdb on a process with four shapes of growth."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import ROOT, asked, start_gdb, wait_for

from core_inspect.commands.track import COMMANDS
from core_inspect.track.book import Book, Event
from core_inspect.track.elf import functions
from core_inspect.track.functions import FUNCTIONS
from core_inspect.track.report import report, table

STACK, OTHER = (1, 2), (3,)


def alloc(time, pointer, size=10, stack=STACK):
    return Event("alloc", 1, time, pointer, size, stack)


def free(time, pointer):
    return Event("free", 1, time, pointer, 0, ())


def test_a_book_has_what_lives_in_each_slice_and_what_survives_of_each():
    book = Book(1.0)
    for event in (alloc(0.1, 100), alloc(0.9, 200), free(1.2, 100), alloc(3.5, 300, 5), free(3.6, 999), alloc(3.7, 400, 7, OTHER)):
        book.take(event)
    stack = book.stacks[STACK]
    assert book.series(stack, 5.0, 0.0) == ([20.0, 10.0, 10.0, 15.0, 15.0], [2, 0, 0, 1, 0], [1, 0, 0, 1, 0])
    # What is younger than the cutoff is not judged.
    assert book.series(stack, 5.0, 3.0)[1:] == ([2, 0], [1, 0])
    assert book.pointers(stack, 5.0, 3.0) == [200]
    assert (book.allocations, book.frees, book.unknown_frees) == (4, 2, 1)


def test_an_address_that_comes_twice_was_freed_unseen():
    book = Book(1.0)
    for event in (alloc(0.1, 100), alloc(2.1, 100, 30, OTHER)):
        book.take(event)
    assert (book.stacks[STACK].bytes, book.stacks[OTHER].bytes) == (0, 30)
    assert book.stacks[STACK].survivors[0] == 0


def test_a_report_puts_leaks_first():
    book = Book(1.0)
    for second in range(30):
        for number in range(4):
            book.take(alloc(second + 0.1, 1000 * second + number, 1 if second % 2 else 2))
            book.take(alloc(second + 0.2, 100_000 + 10 * number, 5000, OTHER))
            book.take(free(second + 0.3, 100_000 + 10 * number))
    found = report(book, 30.0, 2.0, lambda pc: [str(pc)])
    first, second = found["stacks"]
    assert (first["growth"], first["frames"], first["is_leak"]) == ("linear", ["1", "2"], True)
    assert first["slope_per_second_low"] <= first["slope_per_second"] <= first["slope_per_second_high"]
    assert abs(first["slope_per_second"] - 6) < 1
    assert second["growth"] == "too-few-samples"
    text = table(found)
    assert "stack 1: linear, 6 B/s" in text and "too few samples" in text
    assert json.loads(json.dumps(found)) == found


def test_functions_are_those_that_the_linker_binds(growth):
    libc = functions("/lib/x86_64-linux-gnu/libc.so.6")
    assert set(FUNCTIONS) - {"cfree"} <= set(libc)
    assert libc["memalign"].svma == libc["aligned_alloc"].svma
    assert "printf" not in functions(growth)
    assert functions(__file__) == {}


@pytest.fixture(scope="session")
def growth(tmp_path_factory):
    exe = tmp_path_factory.mktemp("growth") / "growth"
    subprocess.run(["g++", "-g", "-O1", "-o", exe, ROOT / "fixtures/cpp/growth.cc"], check=True)
    return exe


def at_work(growth, tmp_path):
    """Commands that bring it to its first request."""
    return [f"file {growth}", "tbreak turnPool", f"run 60 > {tmp_path}/out"]


def tracked(said):
    """The JSON in what leak-track said, and its rows by the function of the fixture that they are of."""
    assert "core-inspect: following malloc at 0x" in said
    assert "core-inspect: all breakpoints are out; the code is as it was" in said
    found = json.loads(said[said.index("\n{") : said.rindex("}") + 1])
    by_caller = {}
    for row in found["stacks"]:
        for name in ("appendPending", "fillCache", "turnPool", "growHistory", "scratch"):
            if any(name in frame for frame in row["frames"]):
                by_caller.setdefault(name, []).append(row)
    return found, by_caller


def check_shapes(by_caller):
    """A request and the list's node for it leak; nothing else but what doubles does. Returns those rows."""
    growth = {name: [row["growth"] for row in rows] for name, rows in by_caller.items()}
    leaks = [row for row in by_caller["appendPending"] if row["growth"] == "linear" and row["survivors"] > 50]
    assert len(leaks) == 2, growth
    for name in ("fillCache", "turnPool", "scratch"):
        assert not any(row["is_leak"] for row in by_caller[name]), growth
    assert "exponential" in growth["growHistory"], growth
    return leaks


def test_the_list_that_nobody_trims_is_a_leak_and_its_owner_is_named(growth, gdb, tmp_path):
    track = "leak-track malloc --for 10s --slice 250ms --format json"
    asked = gdb(*at_work(growth, tmp_path), track, "bt 1", "kill", TMPDIR=str(tmp_path))
    assert asked[4].startswith("#0 ")
    found, by_caller = tracked(asked[3])
    leaks = check_shapes(by_caller)
    for row in leaks:
        assert row["holders"][0]["owner"] == "g_server.pending_" and row["holders"][0]["looked_up"] > 10
    assert {row["holders"][0]["type"] for row in leaks} == {"Request", "std::list<Request*> node"}
    assert found["unknown_frees"] < 5 and found["allocations"] > 300


@pytest.mark.parametrize("library", ["libtcmalloc_minimal.so.4", "libjemalloc.so.2", "libmimalloc.so.2.0"])
def test_other_allocators_are_followed_where_new_does_not_pass_through_malloc(growth, gdb, tmp_path, library):
    path = Path("/usr/lib/x86_64-linux-gnu") / library
    assert path.exists(), "tests/run installs it"
    track = "leak-track malloc --for 8s --slice 200ms --no-holders --format json"
    asked = gdb(f"file {growth}", f"set environment LD_PRELOAD {path}", *at_work(growth, tmp_path)[1:], track, "kill")
    found, by_caller = tracked(asked[4])
    check_shapes(by_caller)
    # A free that passes through two functions is one.
    assert found["unknown_frees"] < 5


def test_on_report_and_off_by_hand(growth, gdb, tmp_path):
    asked = gdb(
        *at_work(growth, tmp_path),
        "leak-on --slice 100ms --function malloc --function free",
        "leak-on",
        "tbreak growHistory",
        "continue",
        "leak-status",
        "leak-report --no-holders",
        "leak-off --no-holders",
        "leak-report",
        "kill",
        TMPDIR=str(tmp_path),
    )
    assert asked[4] == "allocations are followed already: leak-off ends it"
    assert re.match(r"on for \d\.\d s: \d+ allocations, \d+ frees, \d+ stacks; 0 calls", asked[7])
    assert "too few samples" in asked[8]
    assert "all breakpoints are out; the code is as it was" in asked[9]
    assert asked[10] == "allocations are not followed: leak-on begins it"


def test_what_cannot_be_tracked_is_one_line(growth, server, gdb):
    wrong = {
        "leak-track malloc --for soon": "--for soon: not a time; 20s, 500ms and 2m are",
        "leak-track free": "unexpected argument 'free' found",
        "leak-track --depth 0": "--depth 0: not a number from 1 to 256",
        "leak-track --format csv": "--format csv: not one of table, json",
        "leak-track --for": "--for: a value is needed",
        "leak-off": "allocations are not followed: leak-on begins it",
        "leak-track --for 1s": "there is no process and no core",
    }
    asked = gdb(*wrong, f"file {server.binary}", f"core-file {server.core}", "leak-on")
    for answer, (command, reason) in zip(asked.answers, wrong.items()):
        assert answer.startswith(reason) and "\n" not in answer, command
    assert asked[-1] == "a core does not run: attach to a process"


def test_without_the_native_module_it_does_not_begin(growth, gdb, tmp_path):
    asked = gdb(*at_work(growth, tmp_path), "leak-on", "leak-status", "kill", CORE_INSPECT_MODULE="/nonexistent.so")
    assert asked[3].startswith("verdicts need the native module, which cannot be loaded: /nonexistent.so")
    assert asked[4] == "allocations are not followed: leak-on begins it"


def test_an_unknown_function_is_not_followed(growth, gdb, tmp_path):
    asked = gdb(*at_work(growth, tmp_path), "leak-on --function g_malloc", "kill")
    assert asked[3].startswith("g_malloc: its arguments are not known; known are malloc, calloc")


def test_every_command_has_help(gdb):
    asked = gdb(*(f"help {command.name}" for command in COMMANDS), "complete leak-track malloc --fo")
    for command, answer in zip(COMMANDS, asked.answers):
        assert answer == command.help()
    assert asked[-1].split("\n") == ["leak-track malloc --for", "leak-track malloc --format"]


def test_threads_are_followed_until_the_process_ends(server, gdb, tmp_path):
    asked = gdb(
        f"file {server.binary}",
        "tbreak main",
        f"run exit pending=200 > {tmp_path}/out",
        "leak-track malloc --for 120s --slice 100ms --format json",
        "leak-status",
        TMPDIR=str(tmp_path),
    )
    said = asked[3]
    assert "all breakpoints are out" in said
    found = json.loads(said[said.index("\n{") : said.rindex("}") + 1])
    # Four workers, two strings and a node a request.
    assert found["allocations"] > 800
    assert any("append" in frame for row in found["stacks"] for frame in row["frames"])
    assert asked[4] == "allocations are not followed: leak-on begins it"


def test_ctrl_c_ends_the_tracking_with_a_report(growth, tmp_path):
    ready = tmp_path / "ready"
    begin = [f"file {growth}", "tbreak turnPool", f"run 100000 > {tmp_path}/out"]
    mark = f"python open('{ready}', 'w').close()"
    process = start_gdb(tmp_path, *begin, mark, "leak-track malloc --for 600s --slice 100ms --no-holders", "leak-status", "bt 1", "kill")
    wait_for(ready.exists)
    time.sleep(2)
    os.kill(process.pid, signal.SIGINT)
    answers = asked(process)
    assert "stack 1: " in answers[4] and "the code is as it was" in answers[4]
    assert answers[5] == "allocations are not followed: leak-on begins it"
    assert answers[6].startswith("#0 ")


def test_a_process_that_was_attached_to_goes_on(growth, gdb, tmp_path):
    process = subprocess.Popen([growth, "60"], cwd=tmp_path)
    try:
        asked = gdb(f"attach {process.pid}", "leak-track malloc --for 1s --slice 50ms --no-holders", "leak-on", "detach")
        assert "the code is as it was" in asked[1]
        # It was stopped with breakpoints in, let go, and has met where they were.
        time.sleep(1)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_threads_forks_and_libraries_are_not_harmed(gdb, tmp_path):
    exe, stat = tmp_path / "restless", tmp_path / "stat"
    subprocess.run(["g++", "-O1", "-pthread", "-o", exe, ROOT / "fixtures/cpp/restless.cc"], check=True)
    process = subprocess.Popen([exe], cwd=tmp_path)
    try:
        wait_for(stat.exists)
        track = "leak-track malloc --for 300ms --slice 50ms --no-holders"
        asked = gdb(f"attach {process.pid}", *[track] * 3, "detach", f"attach {process.pid}", *[track] * 3, "detach")
        for said in (*asked[1:4], *asked[6:9]):
            assert "the code is as it was" in said
        loops = int(stat.read_text().split()[2])
        wait_for(lambda: int(stat.read_text().split()[2]) > loops + 50 or process.poll() is not None)
        children, bad, _ = map(int, stat.read_text().split())
        assert (process.poll(), bad) == (None, 0) and children > 3
    finally:
        process.kill()
        process.wait()


def test_breakpoints_do_not_stay_for_the_next_process(growth, gdb, tmp_path):
    """They are addresses: in another process anything may be there."""
    processes = [subprocess.Popen([growth, "60"], cwd=tmp_path) for _ in range(2)]
    try:
        first, second = (f"attach {process.pid}" for process in processes)
        asked = gdb(first, "leak-on", "maint info breakpoints", "detach", second, "maint info breakpoints", "leak-off --no-holders")
    finally:
        for process in processes:
            process.kill()
            process.wait()
    ours = re.compile(r"^-\d+ +breakpoint +keep y ", re.MULTILINE)
    assert len(ours.findall(asked[2])) >= 9
    assert ours.findall(asked[5]) == []
    assert "whether the code is as it was could not be looked at" in asked[6]


def test_before_the_libraries_are_there_nothing_can_be_followed(growth, gdb):
    asked = gdb(f"file {growth}", "starti", "leak-on", "kill")
    assert asked[2] == "no function that allocates was found: is it stopped before its libraries are loaded?"
