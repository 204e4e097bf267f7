"""What a debugger looks at → an inspection of it, which stays until memory may have changed."""

import os
import tempfile

from .dbg import UserError
from .errors import Error
from .inspection import Inspection


class Session:
    """The inspections of one debugger, the last one kept."""

    def __init__(self, debugger):
        self.debugger = debugger
        # The last answer, for scripts.
        self.last = None
        self._key = self._inspection = self._folder = None
        self._told = False

    def inspection(self, sysroot=None, debug_dirs=(), containers=()):
        """Of what the debugger looks at now."""
        target = self.debugger.target()
        files = (sysroot or target.sysroot, tuple(debug_dirs), tuple(containers))
        key = (target.core and _identity(target.core), target.binary, target.state, files)
        if key != self._key:
            self.close()
            self._open(target, *files)
            self._key = key
        return self._inspection

    def close(self):
        """Forgets the last inspection."""
        if self._folder is not None:
            self._folder.cleanup()
        self._key = self._inspection = self._folder = None

    def _open(self, target, sysroot, debug_dirs, containers):
        core = target.core or self._save(target)
        try:
            self._inspection = Inspection(
                core, target.binary, sysroot=sysroot, debug_dirs=debug_dirs, containers=containers
            )
            if self._inspection.fallback and not self._told:
                self.debugger.say(f"core-inspect: {self._inspection.fallback}")
                self._told = True
            self._inspection.check = lambda: self.debugger.check()
            self._inspection.prepare()
        except Error as error:
            self.close()
            raise UserError(str(error)) from None
        except BaseException:
            self.close()
            raise
        if self._folder is not None and not self._inspection.holds_file:
            self._folder.cleanup()
            self._folder = None

    def _save(self, target):
        """A core of the process, in a folder that nobody else can look into, and that goes away."""
        # mkdtemp(3) makes it with mode 0700.
        self._folder = tempfile.TemporaryDirectory(prefix="core-inspect-")
        core = os.path.join(self._folder.name, "core")
        self.debugger.say(f"core-inspect: writing the process's memory to {core}, which is removed afterwards")
        try:
            target.save(core)
        except BaseException:
            self.close()
            raise
        return core


def _identity(core):
    try:
        status = os.stat(core)
    except OSError as error:
        raise UserError(f"{core}: {error.strerror}") from None
    return core, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
