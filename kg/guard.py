"""Holds a store's Java process and ends it as soon as the program that started it is gone.

``Guarded`` runs this file as a script; it imports the standard library only, so that it is up at once. The first
line of the script's standard input is a JSON object: ``command``, ``cwd``, ``log`` (file for the output) and
``record`` (file for the process's number). The input stays open; its end means that the program has closed or died.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

POLL = 0.2
GRACE = 10.0


class Guarded:
    """A command that runs under a guard: it ends at the latest when this process does, however that ends.

    Args:
        command: program and arguments.
        cwd: its working directory.
        log: file for its output.
        record: file that holds its number while it runs, as JSON: ``{"pid": …}``.
    """

    def __init__(self, command: list[str], *, cwd: Path, log: Path, record: Path) -> None:
        request = {"command": command, "cwd": str(cwd), "log": str(log), "record": str(record)}
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._guard.stdin is not None
        self._guard.stdin.write(json.dumps(request).encode() + b"\n")
        self._guard.stdin.flush()

    @property
    def pid(self) -> int:
        """Number of the guard's process."""
        return self._guard.pid

    @property
    def alive(self) -> bool:
        """Whether the command runs."""
        return self._guard.poll() is None

    def end(self) -> None:
        """End the command, gently first; harmless when repeated."""
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError):
            self._guard.stdin.close()
        try:
            self._guard.wait(GRACE + 5)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()


def main() -> int:
    """Start the Java process, wait for the end of either side, clean up."""
    program, ended = os.getppid(), threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    request = json.loads(_first_line())
    java = _start(request)
    threading.Thread(target=_wait_for_end_of_input, args=(ended,), daemon=True).start()
    while not ended.wait(POLL) and java.poll() is None and os.getppid() == program:
        pass
    _end(java)
    Path(request["record"]).unlink(missing_ok=True)
    return java.returncode


def _first_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            sys.exit(0)
        line += byte
    return line


def _start(request: dict[str, str]) -> subprocess.Popen[bytes]:
    dies_with_us = _die_with_parent if sys.platform == "linux" else None
    with open(request["log"], "wb") as log:
        java = subprocess.Popen(
            request["command"],
            cwd=request["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=dies_with_us,  # noqa: PLW1509  (no other thread runs yet)
        )
    Path(request["record"]).write_text(json.dumps({"pid": java.pid}))
    return java


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends, however that ends."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _wait_for_end_of_input(ended: threading.Event) -> None:
    while os.read(0, 1024):
        pass
    ended.set()


def _end(java: subprocess.Popen[bytes]) -> None:
    if java.poll() is None:
        java.terminate()
    try:
        java.wait(GRACE)
    except subprocess.TimeoutExpired:
        java.kill()
        java.wait()


if __name__ == "__main__":
    sys.exit(main())
