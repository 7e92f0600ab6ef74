"""What the C library does with freed memory, seen in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from nstbench.core.glibc_malloc import with_large_pages

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this is about glibc")

# More than 2 GiB, which a 31-bit threshold cannot hold. It is never written: it needs no memory.
FREE_A_LARGE_BLOCK = """
import contextlib, ctypes
from nstbench.core.glibc_malloc import freed_memory_kept, give_back_memory, keep_freed_memory
c = ctypes.CDLL(None)
c.malloc.restype = c.sbrk.restype = ctypes.c_void_p
c.malloc.argtypes = [ctypes.c_size_t]
c.free.argtypes = [ctypes.c_void_p]
def kept():
    before = c.sbrk(0)
    c.free(c.malloc(5 * 2**29))
    return c.sbrk(0) - before
print(kept())
with freed_memory_kept():
    print(kept())
print(kept())
keep_freed_memory()
print(kept())
before = c.sbrk(0)
give_back_memory()
print(before - c.sbrk(0))
"""


@glibc
def test_freed_memory_is_kept_until_it_is_given_back():
    found = subprocess.run(
        [sys.executable, "-c", FREE_A_LARGE_BLOCK], check=True, capture_output=True, text=True
    ).stdout
    large = [int(line) > 5 * 2**29 - 2**20 for line in found.split()]
    assert large == [False, True, False, True, True], found


def test_large_pages_are_asked_for_before_what_the_environment_says():
    assert with_large_pages({"A": "b"}) == {"A": "b", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    own = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    assert with_large_pages(own)["GLIBC_TUNABLES"] == (
        "glibc.malloc.hugetlb=1:glibc.malloc.hugetlb=0"
    )
    assert own == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
