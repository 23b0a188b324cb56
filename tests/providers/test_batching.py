"""One model for many: what waits is taken together, what is owed first, and nothing that nobody wants."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.stt.batching import Batcher


class Model:
    """Doubles what it is given, a batch at a time, as often as it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.let = threading.Semaphore(0)
        self.began = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def run(self, works: Sequence[int]) -> list[int]:
        self.batches.append(list(works))
        self._loop.call_soon_threadsafe(self.began.set)
        assert self.let.acquire(timeout=5)
        if 13 in works:
            raise ValueError("13 breaks it")
        return [2 * work for work in works]


@pytest.fixture
async def model() -> Model:
    return Model()


@pytest.fixture
async def thread() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as made:
        yield made


async def busy(model: Model, batcher: Batcher[int, int]) -> asyncio.Task[int]:
    """The model has something to do."""
    first = asyncio.create_task(batcher.do(0, "", owed=True))
    await model.began.wait()
    return first


async def ask(
    batcher: Batcher[int, int], works: Sequence[int], kind: str = "", owed: bool = True
) -> list[asyncio.Task[int]]:
    """Each in a task of its own, which waits for the model when this returns."""
    tasks = [asyncio.create_task(batcher.do(work, kind, owed=owed)) for work in works]
    await asyncio.sleep(0)  # they begin
    return tasks


async def test_what_waits_is_taken_together_when_the_model_becomes_free(model, thread) -> None:
    batcher = Batcher(thread, model.run, 4)
    first = await busy(model, batcher)
    others = await ask(batcher, range(1, 7))
    model.let.release(3)
    assert await asyncio.gather(first, *others) == [2 * work for work in range(7)]
    assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_what_is_owed_goes_first_and_alone(model, thread) -> None:
    batcher = Batcher(thread, model.run, 4)
    await busy(model, batcher)
    ahead, owed = await ask(batcher, [1, 2], owed=False), await ask(batcher, [3])
    model.let.release(3)
    await asyncio.gather(*ahead, *owed)
    assert model.batches[1:] == [[3], [1, 2]]


async def test_only_what_goes_together_is_in_one_batch(model, thread) -> None:
    batcher = Batcher(thread, model.run, 4)
    await busy(model, batcher)
    tasks = [*await ask(batcher, [1], "en"), *await ask(batcher, [2], "de"), *await ask(batcher, [3], "en")]
    model.let.release(3)
    await asyncio.gather(*tasks)
    assert model.batches[1:] == [[1, 3], [2]], "the first comes first, with what goes with it"


async def test_what_nobody_wants_any_more_is_never_begun(model, thread) -> None:
    batcher = Batcher(thread, model.run, 4)
    first = await busy(model, batcher)
    gone, kept = await ask(batcher, [1, 2])
    gone.cancel()
    model.let.release(2)
    assert await asyncio.gather(first, kept) == [0, 4]
    assert model.batches == [[0], [2]]


async def test_cancelled_while_it_runs_it_disturbs_nobody(model, thread) -> None:
    batcher = Batcher(thread, model.run, 4)
    first = await busy(model, batcher)
    first.cancel()
    (second,) = await ask(batcher, [1])
    model.let.release(2)
    assert await second == 2


async def test_what_breaks_a_batch_costs_only_itself(model, thread) -> None:
    batcher = Batcher(thread, model.run, 4)
    await busy(model, batcher)
    tasks = await ask(batcher, [1, 13, 2])
    model.let.release(5)
    one, broken, two = await asyncio.gather(*tasks, return_exceptions=True)
    assert (one, two) == (2, 4)
    assert isinstance(broken, ValueError)


async def test_what_waits_is_shared_out_among_the_threads(model) -> None:
    with ThreadPoolExecutor(max_workers=2) as threads:
        batcher = Batcher(threads, model.run, 4, at_once=2)
        first, second = await ask(batcher, [1, 2])
        others = await ask(batcher, range(3, 9))
        model.let.release(4)
        assert await asyncio.gather(first, second, *others) == [2 * work for work in range(1, 9)]
    assert sorted(map(len, model.batches)) == [1, 1, 2, 4], "half of what there is to do, then the rest"


async def test_a_thread_is_kept_free_for_what_is_owed(model) -> None:
    with ThreadPoolExecutor(max_workers=2) as threads:
        batcher = Batcher(threads, model.run, 4, at_once=2)
        ahead = await ask(batcher, [1, 2], owed=False)
        (owed,) = await ask(batcher, [3])
        model.let.release(3)
        await asyncio.gather(*ahead, owed)
    assert sorted(model.batches[:2]) == [[1], [3]], "the second one ahead waits, though a thread is free"
