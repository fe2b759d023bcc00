"""Proves rows in worker processes: one that hangs or crashes costs its row, never the whole run."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Literal

from porter.parity.proofs import Failure, Proof, RowResult, keyed_rows
from porter.parity.trail import Trail, trail_file

ROW_SECONDS = 300.0  # a machine that is shared may take long; what hangs is rare
CALL_SECONDS = 2.0  # more for each random call
CRASHES = 12  # of one row's random calls; then the rest of them is given up
ROWS_PER_WORKER = 250  # MindSpore keeps every compiled graph; a fresh process gives the memory back
START_SECONDS = 300.0


@dataclass(frozen=True)
class Job:
    """What a worker is told once: the user's tables, and what to run besides the examples."""

    tables: tuple[Path, ...] = ()
    mutants: bool = True
    fuzz: int = 0
    seed: int = 0
    fresh: bool = False
    examples: bool = True  # else only the random calls
    trails: Path | None = None  # what became of random calls is written here, so that a crash costs one call
    mode: Literal["PYNATIVE", "GRAPH"] = "PYNATIVE"  # in which random calls run


@dataclass
class Worker:
    """A worker process, the row it is at, and since when."""

    process: SpawnProcess
    channel: Connection
    key: str | None = None
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    ready: bool = False


def prove_rows(keys: Sequence[str], job: Job, jobs: int = 2) -> Iterator[RowResult]:
    """Results in the order in which they finish."""
    waiting = list(keys)[::-1]
    with tempfile.TemporaryDirectory(prefix="trails") as folder:
        job = replace(job, trails=Path(folder)) if job.fuzz else job
        yield from _results(waiting, job, jobs)


def _results(waiting: list[str], job: Job, jobs: int) -> Iterator[RowResult]:
    workers = [_start(job) for _ in range(min(jobs, len(waiting)))]
    try:
        while workers:
            for worker in list(workers):
                result, alive = _poll(worker, ROW_SECONDS + job.fuzz * CALL_SECONDS)
                if result is not None and goes_on(job, result):
                    waiting.append(result.key)
                elif result is not None:
                    yield result
                if not alive or worker.done >= ROWS_PER_WORKER:
                    workers.remove(worker)
                    _stop(worker)
                    if waiting:
                        workers.append(_start(job))
                elif worker.ready and worker.key is None:
                    _next(worker, waiting, workers)
            wait([w.channel for w in workers], timeout=0.5)
    finally:
        for worker in workers:
            _stop(worker)


def goes_on(job: Job, result: RowResult) -> bool:
    """Whether a random call ended the process: the row is then run again from the next one on."""
    if not job.trails or not any(f.stage == "process" for f in result.failures):
        return False
    path = trail_file(job.trails, result.key)
    crashes = Trail(path).crashes
    lost = path.with_suffix(".lost")
    before = int(lost.read_text("utf-8")) if lost.exists() else 0
    lost.write_text(str(crashes), "utf-8")
    return before < crashes <= CRASHES


def _next(worker: Worker, waiting: list[str], workers: list[Worker]) -> None:
    if waiting:
        worker.key, worker.started = waiting.pop(), time.monotonic()
        worker.channel.send(worker.key)
    else:
        workers.remove(worker)
        _stop(worker)


def _start(job: Job) -> Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, job), daemon=True)
    process.start()
    theirs.close()
    return Worker(process, ours)


def _stop(worker: Worker) -> None:
    worker.channel.close()
    worker.process.join(2)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


def _poll(worker: Worker, row_seconds: float) -> tuple[RowResult | None, bool]:
    """What the worker sent, if anything, and whether it is still of use."""
    try:
        if worker.channel.poll():
            message = worker.channel.recv()
            if message is None:
                worker.ready = True
                return None, True
            worker.key, worker.done = None, worker.done + 1
            return message, True
    except (EOFError, OSError):
        return _lost(worker, "the process that ran it ended"), False
    limit = row_seconds if worker.ready else START_SECONDS
    if (worker.key or not worker.ready) and time.monotonic() - worker.started > limit:
        return _lost(worker, f"no result in {limit:.0f} s"), False
    return None, True


def _lost(worker: Worker, why: str) -> RowResult | None:
    if worker.key is None:
        raise RuntimeError(f"a worker process could not start: {why} (exit code {worker.process.exitcode})")
    return RowResult(worker.key, Proof("failed", note=why), (Failure("row", "process", why),))


def serve(channel: Connection, job: Job) -> None:
    """A worker's main loop: row keys in, results out, until the channel closes."""
    _quiet()
    from porter.parity import ported
    from porter.parity.rows import prove_row
    from porter.table import load_table

    table = load_table(job.tables)
    rows = keyed_rows(table)
    ported.prepare_process()
    channel.send(None)
    while True:
        try:
            key = channel.recv()
        except EOFError:
            os._exit(0)  # MindSpore's own shutdown can take seconds
        result = prove_row(
            key,
            rows[key],
            table,
            mutants=job.mutants,
            fuzz=job.fuzz,
            seed=job.seed,
            fresh=job.fresh,
            examples=job.examples,
            trail=Trail(trail_file(job.trails, key)) if job.trails else None,
            mode=job.mode,
        )
        channel.send(result)


def _quiet() -> None:
    """Frameworks print warnings from C++; a worker's output belongs to no one."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    if not os.environ.get("PORTER_DEBUG"):
        os.dup2(null, 2)
    import torch

    torch.set_num_threads(1)
