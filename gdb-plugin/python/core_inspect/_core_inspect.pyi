"""The extension module. The package `core_inspect` is what to use; its `__init__.pyi` is the manual."""

from typing import List, Optional, TypedDict, Union

__version__: str

class Core:
    """A core, opened by its first job. What was worked out for one job is there for the next."""

    def __init__(self, words: List[str]) -> None:
        """`CORE [BINARY]`, and the options of the command line that say where files are."""
    def ask(self, words: Optional[List[str]], width: int, colour: bool) -> Job:
        """Starts a verb of the command line: its name (none for the page), then its options, without the core. `None` only
        opens the core. `width` is in columns."""

class Job:
    """Work on threads that have all signals blocked."""

    def next(self, seconds: float) -> Optional[Union[bytes, str, int]]:
        """The next piece: `bytes` of the answer (UTF-8 all together), a `str` that was said beside it, the exit code as an
        `int` at the end; `None` when nothing came for so long. Other threads of Python run meanwhile. Raises `RuntimeError`
        when core-inspect has an error of its own, or the job was cancelled."""
    def cancel(self) -> None:
        """Ends the work at its next piece."""

class Verdict(TypedDict):
    """What a series says."""

    growth: str
    """`constant`, `plateau`, `log`, `linear`, `exponential`, `undecided`, `too-few-samples`."""
    is_leak: bool
    """Whether it is `linear` or `exponential`."""
    slope: float
    """Theil and Sen's slope, in bytes a slice."""
    slope_low: float
    slope_high: float
    """Its 95 % interval."""
    trend: float
    """Mann and Kendall's statistic, in standard deviations: above 3 it rises."""
    survivors: int
    """Allocations that are alive at the end."""
    leak_factor: float
    """EdLeak's: bytes that its fitted parabola rises by."""
    curvature: float
    """EdLeak's: below -0.2 log, above 0.2 exponential."""
    value: float
    """libmemleak's: survivors, weighted by the age of their interval."""

def verdict(live: List[float], births: List[int], survivors: List[int]) -> Verdict:
    """What slices of one length say: bytes alive at the end of each; and of those that are old enough to judge by, how many
    were allocated and how many of them are alive at the end."""
