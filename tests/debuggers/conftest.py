"""A server that never trims a list, its core, and debuggers that are asked in batch.

Run by `cargo test -p core-inspect-gdb-plugin` (main.rs), which says what was built.
"""

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "gdb-plugin"
sys.path.insert(0, str(PLUGIN / "python"))
PATIENCE = 120
# Of the list that is never trimmed: enough to stand out, few enough to be quick.
ELEMENTS = "pending=6000"
CLEAN = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}


class Server:
    """A folder with the program, its core and what it wrote about its heap."""

    def __init__(self, folder):
        self.folder = folder
        self.binary = folder / "rpc_server"
        self.core = folder / "server.core"

    def truth(self):
        """Elements and bytes of the list that leaks."""
        text = (self.folder / "truth.csv").read_text()
        name, elements, size = next(line for line in text.splitlines() if line.startswith("# chain"))[2:].split(",")[1:]
        return name, int(elements), int(size)

    def start(self, how):
        """The program at work, in a folder of its own."""
        folder = self.folder / f"{how}-{time.monotonic_ns()}"
        folder.mkdir()
        command = ["/bin/sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", str(self.binary), how, ELEMENTS]
        return folder, subprocess.Popen(command, cwd=folder, env={"PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL)

    def paused(self):
        """A process with all of its memory allocated."""
        folder, process = self.start("pause")
        wait_for(lambda: (folder / "ready").exists() or process.poll() is not None)
        assert process.poll() is None
        return process


def wait_for(condition):
    """Until it holds; a test that waits longer hangs."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """rpc_server and its core, by the kernel where it dumps into the current folder, else by gcore."""
    made = Server(tmp_path_factory.mktemp("server"))
    sources = ROOT / "fixtures"
    flags = ["-g", "-O1", "-pthread", f"-I{sources}/c", f"-I{sources}/cpp"]
    subprocess.run(["g++", *flags, "-o", made.binary, sources / "cpp/rpc_server.cc"], check=True)
    if Path("/proc/sys/kernel/core_pattern").read_text().strip() == "core":
        folder, process = made.start("abort")
        assert process.wait(PATIENCE) == -signal.SIGABRT
        core = next(folder.glob("core*"))
    else:
        process = made.paused()
        folder = Path(os.readlink(f"/proc/{process.pid}/cwd"))
        subprocess.run(["gcore", "-o", folder / "core", str(process.pid)], check=True, capture_output=True)
        process.kill()
        process.wait()
        core = next(folder.glob("core*"))
    core.rename(made.core)
    (folder / "truth.csv").rename(made.folder / "truth.csv")
    return made


@pytest.fixture
def paused(server):
    """A process to attach to."""
    process = server.paused()
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def fifo(tmp_path):
    """A file that nobody ever writes to: who opens it waits for ever."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def environment(**more):
    """That of a debugger: clean, with what was built for this run."""
    built = {name: os.environ[name] for name in ("CORE_INSPECT_MODULE", "CORE_INSPECT") if name in os.environ}
    return {**CLEAN, "PYTHONDONTWRITEBYTECODE": "1", **built, **more}


def tool(*words):
    """What the command line says: standard output."""
    return _tool(tuple(map(str, words)))


@functools.lru_cache(maxsize=None)
def _tool(words):
    # gdb, LLDB and Python are held against the same answers.
    program = os.environ.get("CORE_INSPECT") or shutil.which("core-inspect")
    return subprocess.run([program, *words], check=True, capture_output=True, text=True, env=CLEAN).stdout


class Asked:
    """A debugger that was asked several commands: what it said to each, in order."""

    MARK = "@@ next"

    def __init__(self, output):
        self.output = output
        assert "Traceback" not in output and "Python Exception" not in output, output
        # LLDB repeats the commands.
        lines = [line for line in output.splitlines() if not line.startswith("(lldb) ")]
        parts = "\n".join(lines).split(self.MARK + "\n")
        self.before, *self.answers = [part.strip("\n") for part in parts]

    def __getitem__(self, index):
        return self.answers[index]


def start_gdb(folder, *commands, **more):
    """gdb with the plugin, at work in a folder, where what it runs may write; each command's answer comes behind a mark."""
    words = ["gdb", "-nx", "-batch", "-ex", f"source {PLUGIN}/gdbinit.py"]
    for command in commands:
        words += ["-ex", f"echo {Asked.MARK}\\n", "-ex", command]
    return _start(words, folder, **more)


def start_lldb(folder, *commands, **more):
    """LLDB with the plugin, at work in a folder. A file of commands goes on after an error."""
    script = folder / "commands.lldb"
    lines = [line for command in commands for line in (f"script print('{Asked.MARK}')", command)]
    script.write_text("\n".join(lines) + "\n")
    words = ["lldb-19", "-x", "-b", "-o", f"command script import {PLUGIN}/lldbinit.py"]
    return _start([*words, "-o", f"command source -e false {script}"], folder, **more)


def _start(words, folder, **more):
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(words, cwd=folder, env=environment(**more), text=True, start_new_session=True, **pipes)


def asked(process):
    """All that a debugger said, once it is done."""
    try:
        return Asked(process.communicate(timeout=PATIENCE)[0])
    finally:
        process.kill()


@pytest.fixture
def gdb(tmp_path):
    """Asks gdb."""
    return lambda *commands, **more: asked(start_gdb(tmp_path, *commands, **more))


@pytest.fixture
def lldb(tmp_path):
    """Asks LLDB."""
    return lambda *commands, **more: asked(start_lldb(tmp_path, *commands, **more))


def interrupt_at(process, fifo):
    """Sends Ctrl-C's signal once the debugger waits for what a FIFO holds; returns the answers, and seconds until the end."""
    writer = _writer_of(process, fifo)
    try:
        begin = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        return asked(process), time.monotonic() - begin
    finally:
        os.close(writer)


def _writer_of(process, fifo):
    """Can be opened once there is a reader, who then waits for what never comes."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert process.poll() is None and time.monotonic() < end, process.stdout.read()
            time.sleep(0.02)
