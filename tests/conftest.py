"""What holds for every test: none leaks a task, and on a build server none is passed over."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Generator
from typing import Any

import hypothesis
import pytest
import pytest_asyncio

FORBIDDEN = "this machine forbids"  # how the reason of such a skip begins
SETTLE_S = 1.0  # what was cancelled at a test's end gets so long to end

# `make test` shares the tests out to two workers of pytest-xdist. One holds the real calls, one by one; they
# mostly wait. The other one does the rest beside them, file by file: last, and only with what the calls leave
# of the processors, what computes and the pages that talk to nobody. Whoever is done first helps with those.
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
CALLS = "tests/real/"  # but for PAGES
PAGES = tuple(f"tests/real/test_page_{what}" for what in ("faults", "labels", "languages", "states"))
YIELDING = ("tests/pure/", "tests/session/", *PAGES)
NICENESS = 10
FIRST, NEXT, LAST = range(3)

# How fast an example is says more about what else the machine does; a test that hangs has its time-out.
hypothesis.settings.register_profile(
    "viva", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("viva")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI set, a test that skips itself has failed: nothing is to be green without having run.

    But for what the machine itself forbids (FORBIDDEN), such as networks of one's own in a container."""
    report = yield
    forbidden = FORBIDDEN in str(report.longrepr)
    if os.environ.get("CI") and report.skipped and not forbidden and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class CallsInOneGo(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return CALLS if _order(nodeid) == FIRST else super()._split_scope(nodeid)

    config.option.loadscopereorder = False  # the order is that of the collection
    return CallsInOneGo(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if WORKER:
        items.sort(key=lambda item: _order(item.nodeid))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if WORKER and _order(item.nodeid) == LAST:
        os.nice(NICENESS - os.nice(0))


def _order(nodeid: str) -> int:
    if nodeid.startswith(YIELDING):
        return LAST
    return FIRST if nodeid.startswith(CALLS) else NEXT


@pytest.fixture(autouse=True)
def _no_leaked_task(request: pytest.FixtureRequest) -> None:
    """Fails an asynchronous test after which tasks still run."""
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("_tasks_end")


@pytest_asyncio.fixture
async def _tasks_end() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left: set[asyncio.Task[Any]] = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=SETTLE_S)
    assert not left, f"left running: {sorted(task.get_name() for task in left)}"
