"""The functions that allocate and free, and what their arguments mean: registers by the System V x86-64 calling convention."""

from typing import Callable, NamedTuple, Optional


class Function(NamedTuple):
    """One of them; the lambdas take its arguments, from the first one."""

    # Bytes that are asked for; none of a function that frees.
    size: Optional[Callable]
    # What is given back, if anything.
    old: Optional[Callable]
    # Whether the pointer comes through the first argument.
    is_through_argument: bool = False


def _first(*arguments):
    return arguments[0]


def _second(*arguments):
    return arguments[1]


FREE = Function(None, _first)
NEW = Function(_first, None)
FUNCTIONS = {
    "malloc": NEW,
    "calloc": Function(lambda count, size, *_: count * size, None),
    "realloc": Function(_second, _first),
    "reallocarray": Function(lambda old, count, size, *_: count * size, _first),
    "free": FREE,
    "cfree": FREE,
    "memalign": Function(_second, None),
    "aligned_alloc": Function(_second, None),
    "posix_memalign": Function(lambda out, alignment, size, *_: size, None, True),
    "valloc": NEW,
    "pvalloc": NEW,
}
# operator new and delete: m is size_t on 64-bit machines. Where libstdc++ or libc++ have them, they pass through malloc.
OPERATORS = {
    **{f"_Zn{kind}m{more}": NEW for kind in "wa" for more in ("", "RKSt9nothrow_t", "St11align_val_t")},
    **{f"_Zn{kind}mSt11align_val_tRKSt9nothrow_t": NEW for kind in "wa"},
    **{
        f"_Zd{kind}Pv{more}": FREE
        for kind in "la"
        for more in ("", "m", "RKSt9nothrow_t", "St11align_val_t", "mSt11align_val_t", "St11align_val_tRKSt9nothrow_t")
    },
}
PASS_THROUGH = ("libstdc++.so", "libc++.so", "libc++abi.so")
