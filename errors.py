"""The one exception that a user is meant to read."""

from __future__ import annotations


class InputError(Exception):
    """Something a user gave or set up is wrong; the message says what, where and what to do.

    The command line prints the message alone (no traceback) and ends with exit code 2.

    Args:
        what: what is wrong, with the offending value.
        where: file, row, column, field or address; empty when there is none.
        remedy: what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        parts = [f"{where}: {what}" if where else what]
        if remedy:
            parts.append(remedy)
        super().__init__("\n  ".join(parts))
