"""The commands in LLDB: on a core, on a process, and where there is nothing."""

import importlib.util
import re
import shutil

import pytest
from conftest import PLUGIN, interrupt_at, start_lldb, tool

from core_inspect.commands import COMMANDS

pytestmark = pytest.mark.skipif(not shutil.which("lldb-19"), reason="lldb-19 is not installed")
LIST = "*(void **) &g_server.pending_"


def opening(server):
    return f"target create {server.binary} --core {server.core}"


def test_every_command_answers_as_the_command_line(server, lldb):
    addressed = [command for command in COMMANDS if command.takes_address]
    whole = [command for command in COMMANDS if not command.takes_address and command.name != "heap-sites"]
    asked = lldb(
        opening(server),
        *(f"{command.name} --limit 4" for command in whole),
        f"script print(hex(lldb.target.EvaluateExpression('{LIST}').GetValueAsUnsigned()))",
        *(f"{command.name} {LIST}" for command in addressed),
        "heap-sites --type rpc::Request",
    )
    answers = asked.answers[1:]
    for command, answer in zip(whole, answers):
        verb = [command.verb] if command.verb else []
        assert answer == tool(*verb, server.core, server.binary, "--limit", 4).strip("\n"), command.name
    at, *answers = answers[len(whole) :]
    at = at.splitlines()[-1]
    for command, answer in zip(addressed, answers):
        assert answer == tool(command.verb, server.core, server.binary, at).strip("\n"), command.name
    assert answers[-1] == tool("sites", server.core, server.binary, "--type", "rpc::Request").strip("\n")


def test_what_cannot_be_done_is_one_line(server, lldb):
    wrong = {
        "heap-chunks --foo": "error: unexpected argument '--foo' found",
        "heap-chunks 'half": "error: heap-chunks: no closing quotation",
        "heap-chunk": "error: heap-chunk: an address or an expression is needed",
        "heap-chunk nosuch": "error: nosuch: use of undeclared identifier 'nosuch'",
        "heap-report --sysroot": "error: --sysroot: a value is needed",
    }
    asked = lldb(opening(server), *wrong, "heap-chunk g_server")
    for answer, (command, reason) in zip(asked.answers[1:], wrong.items()):
        assert answer.splitlines()[-1] == reason, command
    assert "g_server in rpc_server" in asked[-1]


def test_without_a_process_it_says_what_to_do(server, lldb):
    asked = lldb("heap-report", f"target create {server.binary}", "heap-report")
    assert asked[0].startswith("error: there is no process and no core: open one with `target create --core FILE`")
    assert asked[2] == asked[0]


def test_a_core_without_its_program(server, lldb):
    asked = lldb(f"target create --core {server.core}", "heap-containers --limit 1")
    assert "g_server.pending_" in asked[1]


def test_every_command_has_help(lldb):
    asked = lldb(*(f"help {command.name}" for command in COMMANDS))
    for command, answer in zip(COMMANDS, asked.answers):
        shown = " ".join(answer.split())
        assert command.summary in shown and f"Usage: {command.usage()}" in shown
        assert all(option.name in shown for option in command.options)


def test_an_lldb_without_its_python_package_says_what_to_do(capsys):
    """Debian 12's LLDB 14 gives an object without methods then."""
    spec = importlib.util.spec_from_file_location("lldbinit", PLUGIN / "lldbinit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__lldb_init_module(object(), {})
    assert "PYTHONPATH=/usr/lib/llvm-14/lib/python3.11/dist-packages lldb" in capsys.readouterr().out


def test_the_last_answer_is_there_for_scripts(server, lldb):
    asked = lldb(opening(server), "heap-containers --limit 1", "script print(core_inspect.dbg.lldb.last().containers[0].owner)")
    assert asked[2] == "g_server.pending_"


def test_a_process_is_read_as_it_is_now(server, lldb, tmp_path):
    asked = lldb(
        f"target create {server.binary}",
        "breakpoint set --name pause",
        f"process launch -w {tmp_path} -o {tmp_path}/out -- pause pending=6000",
        "heap-containers --limit 1",
        "heap-containers --limit 1",
        "process kill",
        TMPDIR=str(tmp_path),
    )
    assert "core-inspect: writing the process's memory to " in asked[3]
    assert re.search(r"^ +6,000 .* g_server.pending_ ", asked[3], re.MULTILINE)
    assert "writing" not in asked[4]
    assert list(tmp_path.glob("core-inspect-*")) == []


def test_a_running_process_is_not_read(server, lldb, tmp_path):
    asked = lldb(
        f"target create {server.binary}",
        "script lldb.debugger.SetAsync(True)",
        f"process launch -w {tmp_path} -o {tmp_path}/out -- pause pending=6000",
        "script import time; time.sleep(1)",
        "heap-report",
        "process kill",
    )
    assert "error: the process is running: stop it first (`process interrupt`)" in asked[4]


def test_ctrl_c_ends_a_command(server, fifo, tmp_path):
    process = start_lldb(tmp_path, opening(server), f"heap-report --containers {fifo}")
    asked, _ = interrupt_at(process, fifo)
    assert "error: interrupted" in asked[1]


def test_an_lldb_that_loads_no_module_asks_the_program(server, lldb):
    asked = lldb(opening(server), "heap-owners --depth 1", CORE_INSPECT_MODULE="/nonexistent.so")
    assert "the native module cannot be loaded (/nonexistent.so: " in asked[1]
    assert tool("owners", server.core, server.binary, "--depth", 1).strip("\n") in asked[1]
