"""The command `crossaisle`; a thin door to the entry points."""

from __future__ import annotations

import sys

USAGE = """usage: crossaisle COMMAND [options]

commands:
  train    learn from purchases and report (the same as `python train.py`)

`crossaisle train --help` lists all settings."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        The command's exit code; 2 for an unknown command.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] == "train":
        import train

        return train.main(given[1:])
    if given and given[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    print(f"crossaisle: {'no command' if not given else f'unknown command {given[0]!r}'}\n{USAGE}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
