"""What the program shows on the terminal: one line of summary per step, progress bars, on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")

console = Console(stderr=True, highlight=False)


def say(step: str, text: str) -> None:
    """Print one line of summary for a finished step."""
    console.print(f"[bold]{step:<12}[/bold] {text}", soft_wrap=True)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield the items behind a progress bar, which disappears at the end.

    Args:
        items: anything iterable.
        what: the text beside the bar.
        total: number of items, when ``len(items)`` cannot tell.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        for item in items:
            yield item
            progress.advance(task)
