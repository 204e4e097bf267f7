"""The module in plain Python: objects that are the command line's answers, threads, signals, errors."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import PLUGIN, environment, tool, wait_for

import core_inspect
from core_inspect import fallback, inspection, native
from core_inspect.commands import COMMANDS
from core_inspect.commands.command import PLACES

# A question for each command, beside its verb.
QUESTIONS = {"sites": ["--type", "rpc::Request"], "leaks": ["--size", "1.."], "chunks": ["--state", "free"]}


@pytest.fixture(scope="module")
def opened(server):
    return core_inspect.open(server.core, server.binary)


def an_address(opened):
    return opened.suspects[0].first


def test_the_suspect_is_the_list_that_the_program_wrote_down(server, opened):
    name, elements, size = server.truth()
    suspect = opened.suspects[0]
    assert (suspect.owner, suspect.elements, suspect.bytes) == (name, elements, size)
    assert suspect.owner_type == "std::list<rpc::Request*>"
    assert opened.totals.used.bytes == sum(chunk.size_bytes for chunk in opened.chunks(state="used"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_answer_is_that_of_the_command_line(server, opened, command):
    verb = [command.verb] if command.verb else []
    options = QUESTIONS.get(command.verb, [])
    address = [an_address(opened)] if command.takes_address else []
    told = json.loads(tool(*verb, server.core, server.binary, *address, *options, "--format", "json"))
    assert opened.ask(*verb, *address, *options) == told
    text = []
    opened.stream([*verb, *address, *options], text.append)
    assert "".join(text) == tool(*verb, server.core, server.binary, *address, *options)
    assert text


def test_the_stub_has_the_fields_of_every_answer(opened):
    stub = ast.parse((PLUGIN / "python/core_inspect/__init__.pyi").read_text())
    fields = {
        node.name: {item.target.id: ast.unparse(item.annotation) for item in node.body if isinstance(item, ast.AnnAssign)}
        for node in stub.body
        if isinstance(node, ast.ClassDef)
    }
    returns = {
        item.name: ast.unparse(item.returns)
        for node in stub.body
        if isinstance(node, ast.ClassDef) and node.name == "Inspection"
        for item in node.body
        if isinstance(item, ast.FunctionDef) and item.returns is not None
    }
    seen = set()

    def check(value, annotation):
        kinds = annotation.removeprefix("Optional[").removesuffix("]") if annotation.startswith("Optional[") else annotation
        if value is None:
            assert annotation.startswith("Optional["), annotation
        elif kinds.startswith("List["):
            assert isinstance(value, list), annotation
            for item in value:
                check(item, kinds[len("List[") : -1])
        elif kinds in fields:
            seen.add(kinds)
            assert set(value) == set(fields[kinds]), kinds
            for name, of_field in fields[kinds].items():
                check(value[name], of_field)
        else:
            assert type(value).__name__ == kinds or (kinds, type(value)) == ("float", int), (value, annotation)

    at = an_address(opened)
    for name in ("report", "suspects", "types", "leaks", "memory", "totals", "allocators", "problems"):
        check(getattr(opened, name), returns[name])
    for name in ("info", "chunks", "containers", "owners", "dominators", "frames"):
        check(getattr(opened, name)(), returns[name])
    for name in ("chunk", "refs", "path"):
        check(getattr(opened, name)(at), returns[name])
    assert {"Report", "Suspect", "ChunkRow", "RetainedRow", "PathStep", "FrameRow", "ModuleRow"} <= seen


def test_the_stub_of_the_native_module_has_what_the_module_has():
    stub = ast.parse((PLUGIN / "python/core_inspect/_core_inspect.pyi").read_text())
    classes = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}
    functions = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    verdict = classes.pop("Verdict")
    module = native.load()
    assert {name for name in dir(module) if not name.startswith("_")} == {*classes, *functions}
    for name, node in classes.items():
        methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)} - {"__init__"}
        assert methods == {method for method in dir(getattr(module, name)) if not method.startswith("_")}
    fields = {item.target.id: item.annotation.id for item in verdict.body if isinstance(item, ast.AnnAssign)}
    answer = module.verdict([float(size) for size in range(40)], [3] * 40, [3] * 40)
    assert {name: type(value).__name__ for name, value in answer.items()} == fields
    assert (answer["growth"], answer["slope"], answer["survivors"]) == ("linear", 1.0, 120)
    with pytest.raises(ValueError, match="different lengths"):
        module.verdict([1.0], [1], [])


def test_an_option_is_a_keyword_and_an_address_a_number(opened):
    biggest = opened.chunks(state="used", sort="size:desc", limit=3)
    assert len(biggest) == 3 and biggest[0].size_bytes >= biggest[2].size_bytes
    at = int(biggest[0].address, 16)
    assert opened.chunk(at).chunk == opened.chunk(biggest[0].address).chunk
    assert opened.ask("types", retained=True).types[0].retained_bytes is not None


def errors():
    yield ["chunks", "--foo"], "unexpected argument '--foo' found"
    yield ["chunks", "--state", "lost"], "--state lost: not one of used, free"
    yield ["chunks", "extra"], "unexpected argument 'extra': the core is open already"
    yield ["chunks", "--threads", "2"], "--sysroot, --debug-dir, --containers and --threads count when a core is opened"
    yield ["types", "--format", "xml"], "invalid value 'xml' for '--format <FORM>' [possible values: table, json, csv]"
    yield ["nonsense"], "nonsense: no such verb"
    yield ["man"], "unexpected argument 'core' found"
    yield ["sites"], "the following required arguments were not provided: --type <REGEX>"
    yield ["chunk", "nowhere"], "one address is needed"


@pytest.mark.parametrize("words, reason", errors(), ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_an_error_is_one_line(opened, words, reason):
    with pytest.raises(core_inspect.Error) as caught:
        opened.stream(words, lambda text: None)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_a_core_that_cannot_be_opened_is_an_error(server, tmp_path):
    for core, binary, reason in (
        (tmp_path / "none", None, "none: "),
        (server.binary, None, "rpc_server: "),
        (server.core, tmp_path / "none", "none: cannot open"),
    ):
        with pytest.raises(core_inspect.Error) as caught:
            core_inspect.open(core, binary)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
    said = native.load().Core(["-"]).ask(None, 100, False).next(60)
    assert said.startswith("-: standard input belongs")


def test_two_cores_are_open_at_once(server, opened):
    other = core_inspect.open(server.core)
    assert other.chunks(limit=5) == opened.chunks(limit=5)


def test_a_reader_who_has_seen_enough_ends_the_work(opened):
    class Enough(Exception):
        pass

    def stop(text):
        raise Enough

    with pytest.raises(Enough):
        opened.stream(["chunks"], stop)
    assert opened.chunks(limit=1)


def test_other_threads_run_while_the_core_is_read(fifo):
    """A writer of this very process lets the open go on: it could not, if the interpreter were held."""
    writer = threading.Thread(target=lambda: fifo.write_bytes(b"no core"))
    writer.start()
    with pytest.raises(core_inspect.Error, match="fifo"):
        core_inspect.open(fifo)
    writer.join()


def test_no_thread_takes_a_signal(opened):
    """A signal that one of them took would be lost for the debugger."""
    masks = {}
    for task in Path("/proc/self/task").iterdir():
        lines = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        masks[int(task.name)] = (lines["Name"], int(lines["SigBlk"], 16))
    own = masks.pop(os.getpid())
    ours = [mask for name, mask in masks.values() if name == "core-inspect"]
    assert ours, masks
    for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM, signal.SIGWINCH):
        assert all(mask >> (number - 1) & 1 for mask in ours)
        assert not own[1] >> (number - 1) & 1


def test_ctrl_c_stops_the_wait_within_a_second(fifo):
    program = "import sys, core_inspect\nprint('go', flush=True)\ncore_inspect.open(sys.argv[1])"
    words = [sys.executable, "-c", program, str(fifo)]
    more = {"PYTHONPATH": str(PLUGIN / "python")}
    process = subprocess.Popen(words, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "go\n"
    time.sleep(0.2)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert "KeyboardInterrupt" in said
    assert time.monotonic() - begin < 1


def test_without_the_native_module_the_program_is_asked(server, opened, monkeypatch):
    def missing(files):
        raise ImportError("undefined symbol: PyFloat_Type")

    monkeypatch.setattr(inspection, "NativeEngine", missing)
    asked = core_inspect.open(server.core, server.binary)
    assert "PyFloat_Type" in asked.fallback and fallback.tool() in asked.fallback
    assert asked.suspects == opened.suspects
    assert asked.chunks(limit=5) == opened.chunks(limit=5)
    assert asked.chunk(an_address(opened)) == opened.chunk(an_address(opened))
    for words in (["chunks", "--foo"], ["sites"], ["chunks", "--state", "lost"]):
        reasons = []
        for engine in (asked, opened):
            with pytest.raises(core_inspect.Error) as caught:
                engine.stream(words, lambda text: None)
            reasons.append(str(caught.value))
        assert reasons[0] == reasons[1]
    with pytest.raises(core_inspect.Error, match="none"):
        core_inspect.open("none")


def test_the_program_that_is_asked_ends_with_its_reader(server, monkeypatch, fifo):
    engine = fallback.ToolEngine([str(fifo)])
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        engine.open(lambda line: None, lambda: None)
    wait_for(lambda: not any(str(fifo) in line for line in _children()))


def _children():
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield (process / "cmdline").read_text()
        except OSError:
            pass


def test_places_are_those_of_the_command_line(opened):
    with pytest.raises(core_inspect.Error) as caught:
        opened.stream(["chunks", "--place", "nowhere"], lambda text: None)
    assert str(caught.value).endswith("not one of " + ", ".join(PLACES))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_has_the_options_of_its_verb(command):
    """Help and completion are data here; what works is what the command line takes."""
    verb = [command.verb] if command.verb else []
    text = tool(*verb, "--help")
    names = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", text, re.MULTILINE)) - {"--help", "--version", "--threads"}
    ours = {option.name for option in command.all_options()}
    assert ours == names
