"""The commands in gdb: on a core, on a process, on a remote one, and where there is nothing."""

import json
import re
import socket
import subprocess

import pytest
from conftest import interrupt_at, start_gdb, tool, wait_for

from core_inspect.commands import COMMANDS

LIST = "*(void **) &g_server.pending_"


def opening(server, binary=True):
    file = [f"file {server.binary}"] if binary else []
    return [*file, f"core-file {server.core}"]


def test_every_command_answers_as_the_command_line(server, gdb):
    addressed = [command for command in COMMANDS if command.takes_address]
    whole = [command for command in COMMANDS if not command.takes_address and command.name != "heap-sites"]
    asked = gdb(
        *opening(server),
        *(f"{command.name} --limit 4" for command in whole),
        f"python print('%#x' % int(gdb.parse_and_eval('{LIST}')))",
        *(f"{command.name} {LIST}" for command in addressed),
        "heap-sites --type rpc::Request",
    )
    answers = asked.answers[2:]
    for command, answer in zip(whole, answers):
        verb = [command.verb] if command.verb else []
        assert answer == tool(*verb, server.core, server.binary, "--limit", 4).strip("\n"), command.name
    at, *answers = answers[len(whole) :]
    for command, answer in zip(addressed, answers):
        assert answer == tool(command.verb, server.core, server.binary, at).strip("\n"), command.name
    assert answers[-1] == tool("sites", server.core, server.binary, "--type", "rpc::Request").strip("\n")


def test_results_are_values(server, gdb):
    asked = gdb(
        *opening(server),
        f"heap-chunk {LIST}",
        f"print $_heap == {LIST}",
        "heap-containers --limit 2",
        "print $_heap[0] == &g_server.pending_",
        f"print $heap_size({LIST})",
        f"output $heap_type({LIST})",
        f"output $heap_owner({LIST})",
        "print $heap_size(g_server)",
        "output $heap_type(g_server)",
        "heap-chunk g_server.pending_",
    )
    assert asked[3].endswith("= 1") and asked[5].endswith("= 1")
    assert asked[6].endswith("= 24")
    assert asked[7] == '"std::list<rpc::Request*> node"'
    assert asked[8] == '"g_server.pending_"'
    assert asked[9].endswith("= 0")
    assert asked[10].startswith('"g_server in rpc_server')
    assert re.match(r"0x[0-9a-f]+: g_server\+0x[0-9a-f]+ in rpc_server", asked[11])


def test_json_comes_whole(server, gdb):
    asked = gdb(*opening(server), "heap-owners --depth 1 --format json")
    assert json.loads(asked[2])["rows"][0]["name"] == "g_server in rpc_server"


def test_what_cannot_be_done_is_one_line(server, gdb):
    wrong = {
        "heap-chunks --foo": "unexpected argument '--foo' found",
        "heap-chunks extra": "unexpected argument 'extra': the core is open already",
        "heap-chunks 'half": "heap-chunks: no closing quotation",
        "heap-chunk": "heap-chunk: an address or an expression is needed",
        "heap-chunk nosuch": 'nosuch: no symbol "nosuch" in current context',
        "heap-chunk (void)0": "(void)0: it is neither a pointer nor an object in memory",
        "heap-chunk *(int *)0": "*(int *)0: cannot access memory at address 0x0",
        "heap-report --sysroot": "--sysroot: a value is needed",
        "heap-report --containers /nonexistent/file": "/nonexistent/file: ",
        "print $heap_size()": "$heap_size: one pointer is needed",
        "print $heap_size(1, 2)": "$heap_size: one pointer is needed",
        "print $heap_owner(*(int *)0)": "Cannot access memory at address 0x0",
    }
    asked = gdb(*opening(server), *wrong, "heap-chunk g_server")
    for answer, (command, reason) in zip(asked.answers[2:], wrong.items()):
        assert answer.startswith(reason) and "\n" not in answer, command
    assert "g_server in rpc_server" in asked[-1]


def test_without_a_process_it_says_what_to_do(gdb):
    asked = gdb("heap-report", "heap-chunk 1", "print $heap_size(1)")
    assert all(answer.startswith("there is no process and no core: open one with `core-file FILE`") for answer in asked.answers)


def test_a_core_without_its_program(server, gdb):
    asked = gdb(*opening(server, binary=False), "heap-containers --limit 1", "heap-report --limit 1")
    assert "g_server.pending_" in asked[1]
    assert asked[2].startswith("rpc_server: nothing is lost; one std::list (g_server.pending_)")


def test_every_command_has_help_and_completion(gdb):
    helps = [f"help {command.name}" for command in COMMANDS]
    tries = ["complete heap-", "complete heap-chunks --st", "complete heap-chunks --state f", "complete heap-owners --min-s", "complete heap-ref", "help function"]
    asked = gdb(*helps, *tries)
    for command, answer in zip(COMMANDS, asked.answers):
        assert answer == command.help()
    names, option, word, dashed, one, functions = asked.answers[len(COMMANDS) :]
    assert names.split() == sorted(command.name for command in COMMANDS)
    assert (option, word, one) == ("heap-chunks --state", "heap-chunks --state free", "heap-refs")
    assert dashed == "heap-owners --min-share"
    assert all(f"function {name} -- " in functions for name in ("heap_size", "heap_type", "heap_owner"))


def test_an_expression_is_completed_as_one(server, gdb):
    assert gdb(f"file {server.binary}", "complete heap-chunk g_serv")[1] == "heap-chunk g_server"


def test_a_command_called_heap_stays_what_it_is(gdb):
    """pwndbg and gef have one, with arguments."""
    asked = gdb("define heap\necho theirs\\nend" if False else "python gdb.execute('define heap\\necho theirs\\nend')", "heap")
    assert asked[1] == "theirs"


def test_a_process_is_read_as_it_is_now(server, gdb, tmp_path):
    asked = gdb(
        f"file {server.binary}",
        "set breakpoint pending on",
        "break pause",
        f"run pause pending=6000 > {tmp_path}/out",
        "heap-containers --limit 1",
        "heap-containers --limit 1",
        "set var *(long *) ((char *) &g_server.pending_ + 16) = 5",
        "heap-containers --limit 1",
        "kill",
        TMPDIR=str(tmp_path),
    )
    said, rest = asked[4].split("\n", 1)
    assert said.startswith(f"core-inspect: writing the process's memory to {tmp_path}/core-inspect-")
    assert re.search(r"^ +6,000 .* g_server.pending_ ", rest, re.MULTILINE)
    assert asked[5] == rest
    # The list's own count is wrong now: it was looked at again.
    assert asked[7].startswith("core-inspect: writing") and asked[7].split("\n", 1)[1] != rest
    assert list(tmp_path.glob("core-inspect-*")) == []


def test_the_core_of_a_process_is_for_its_user_only(server, gdb, tmp_path, fifo):
    """While it is there, nobody else may look into its folder."""
    show = "python import os, glob; print([oct(os.stat(f).st_mode & 0o777) for f in glob.glob(os.environ['TMPDIR'] + '/core-inspect-*')])"
    asked = gdb(
        f"file {server.binary}",
        "break main",
        f"run pause pending=6000 > {tmp_path}/out",
        "python import core_inspect.session as s; s.Inspection = None",
        "heap-report",
        show,
        "kill",
        TMPDIR=str(tmp_path),
    )
    assert "core-inspect has an error of its own: TypeError" in asked[4]
    assert asked[5] == "[]"


def test_a_running_process_is_not_read(server, gdb, tmp_path):
    asked = gdb(
        f"file {server.binary}",
        "set non-stop on",
        f"run pause pending=6000 > {tmp_path}/out &",
        "python import time; time.sleep(0.5)",
        "heap-report",
        "python gdb.execute('interrupt -a'); time.sleep(0.5)",
        "kill",
    )
    assert "the process is running: stop it first (`interrupt`)" in asked[4]


def test_a_remote_process(server, gdb, paused):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["gdbserver", "--once", "--attach", f"127.0.0.1:{port}", str(paused.pid)]
    remote = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: "Listening" in remote.stderr.readline())
        asked = gdb(f"file {server.binary}", f"target remote 127.0.0.1:{port}", "heap-containers --limit 1", "detach")
    finally:
        remote.kill()
        remote.wait()
    assert re.search(r"^ +6,000 .* g_server.pending_ ", asked[2], re.MULTILINE)


def test_ctrl_c_ends_a_command_and_not_the_session(server, fifo, tmp_path):
    process = start_gdb(tmp_path, *opening(server), f"heap-report --containers {fifo}", "heap-chunk g_server")
    asked, _ = interrupt_at(process, fifo)
    assert asked[2] == "Quit"
    assert "g_server in rpc_server" in asked[3]


def test_a_gdb_that_loads_no_module_asks_the_program(server, gdb):
    asked = gdb(*opening(server), "heap-owners --depth 1", "heap-containers --limit 1", CORE_INSPECT_MODULE="/nonexistent.so")
    said, rest = asked[2].split("\n", 1)
    assert said.startswith("core-inspect: the native module cannot be loaded (/nonexistent.so: ")
    assert rest == tool("owners", server.core, server.binary, "--depth", 1).strip("\n")
    assert "g_server.pending_" in asked[3]
