"""What each step costs: wall time and peak memory, child processes included."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import psutil

from console import say


@dataclass
class StepCost:
    """Cost of one step.

    Attributes:
        name: of the step.
        seconds: wall time.
        peak_mb: largest resident memory of the program and its child processes during the step, in MiB; shared
            pages count in each process.
    """

    name: str
    seconds: float
    peak_mb: float


@dataclass
class CostLog:
    """Costs of all steps so far; a sampling thread watches the memory.

    Attributes:
        steps: finished steps, in order.
        interval: seconds between two looks at the memory.
    """

    steps: list[StepCost] = field(default_factory=list)
    interval: float = 0.25

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Measure a step and print its line of summary: the texts that the body appends to the yielded list."""
        texts: list[str] = []
        stop, peak = threading.Event(), [resident_mb()]
        watcher = threading.Thread(target=_watch, args=(stop, peak, self.interval), daemon=True)
        began = time.perf_counter()
        watcher.start()
        try:
            yield texts
        finally:
            stop.set()
            watcher.join()
        cost = StepCost(name, round(time.perf_counter() - began, 2), round(max(*peak, resident_mb()), 1))
        self.steps.append(cost)
        say(name, f"{'; '.join(texts)} [dim]({cost.seconds:.1f} s, peak {cost.peak_mb / 1024:.1f} GiB)[/dim]")

    def to_json(self) -> list[dict[str, object]]:
        """The steps as plain values."""
        return [asdict(step) for step in self.steps]


def resident_mb() -> float:
    """Resident memory of this process and its descendants now, in MiB."""
    own = psutil.Process()
    total = 0
    for process in [own, *own.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total / 2**20


def _watch(stop: threading.Event, peak: list[float], interval: float) -> None:
    while not stop.wait(interval):
        peak[0] = max(peak[0], resident_mb())
