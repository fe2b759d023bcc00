"""Settings that must stand before MindSpore is imported, and a device that tells of a failure at once."""

from __future__ import annotations

import os
import sys

# before any test module imports a framework
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GLOG_v", "3")

import pytest

_blocking = False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """PYNATIVE mode is asynchronous: without this, a kernel that fails is reported by a later test."""
    global _blocking
    mindspore = sys.modules.get("mindspore")
    if not _blocking and hasattr(mindspore, "runtime"):
        mindspore.runtime.launch_blocking()
        _blocking = True
