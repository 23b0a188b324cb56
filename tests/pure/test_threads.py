"""Threads that only spin are not started."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COUNT = """
import server.__main__, numpy, os
numpy.ones((500, 500)) @ numpy.ones((500, 500))
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_numpy_has_no_threads_that_spin_behind_its_products() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    counted = subprocess.run(
        [sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, timeout=60
    )
    assert counted.stdout.strip() == "1", counted.stderr
