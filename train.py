"""`python train.py`: purchases in; out come a trained cross-category model and an honest report."""

from __future__ import annotations

import ctypes
import errno
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace

from console import console, say
from errors import InputError

PRESETS = Path(__file__).parent / "conf"
NUMBERS = ("--seeds", "--protocol.test_cutoffs", "--validation_cutoffs")  # flags that take 0,1,2


def settings_parser(prog: str, description: str) -> ArgumentParser:
    """Every field of the configuration as a flag, a key of the YAML file and a variable."""
    from training.config import TrainConfig

    parser = ArgumentParser(
        prog=prog, description=description, default_env=True, env_prefix="CROSSAISLE", exit_on_error=False
    )
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file, or a preset: default, smoke, gpu")
    parser.add_class_arguments(TrainConfig, as_group=False)
    parser.link_arguments("protocol.horizon", "evidence.horizon")
    return parser


def build_parser() -> ArgumentParser:
    """The command line of the main job."""
    parser = settings_parser(
        "train.py",
        "Learn from purchases which categories that a customer has never bought from will interest them "
        "next, and report honestly whether that beats simpler models.",
    )
    parser.add_argument("--out", type=Path | None, default=None, help="folder of the run; default runs/<time>")
    parser.add_argument("--resume", type=Path | None, default=None, help="unfinished run to go on with")
    return parser


def parse(arguments: list[str], parser: ArgumentParser) -> Namespace:
    """Parse a command line; presets may be given by name, and a resumed run brings its own settings."""
    arguments = prepared(arguments)
    parsed = parser.parse_args(arguments)
    if parsed.resume is None:
        return parsed
    extra = [a for a in arguments if a.startswith("--") and not a.startswith("--resume")]
    if extra:
        remedy = "Leave it out: an unfinished run goes on with the settings it was begun with."
        raise InputError(f"{extra[0]} cannot be changed", where="--resume", remedy=remedy)
    from training.folder import CONFIG, RunFolder

    work = RunFolder.resume(parsed.resume).work
    resumed: Namespace = parser.parse_args(["--config", str(work / CONFIG)])
    resumed.resume = parsed.resume
    return resumed


def prepared(arguments: list[str]) -> list[str]:
    """The arguments with the files of presets in place of their names, and numbers as the parser reads them.

    Raises:
        InputError: a flag that takes several numbers is given something else.
    """
    before = ["", *arguments]
    return [_numbers(flag, _preset(flag, argument)) for flag, argument in zip(before, arguments, strict=False)]


def _numbers(before: str, argument: str) -> str:
    """Put ``0,1,2`` after a flag that takes numbers into brackets."""
    flag, equals, given = argument.partition("=") if argument.startswith("--") else (before, "", argument)
    if flag not in NUMBERS or flag == argument or given.startswith("["):
        return argument
    if not re.fullmatch(r"\s*-?\d+\s*(,\s*-?\d+\s*)*", given):
        remedy = "Give whole numbers with commas between: 0,1,2."
        raise InputError(f"{given!r} are no whole numbers", where=flag, remedy=remedy)
    return f"{flag}=[{given}]" if equals else f"[{given}]"


def _preset(before: str, argument: str) -> str:
    """Replace the name of a preset by its file, unless a file of that name is there."""
    flag, _, name = argument.rpartition("=")
    if (flag or before) == "--config" and not Path(name).is_file() and (PRESETS / f"{name}.yaml").is_file():
        return f"{flag}={PRESETS / f'{name}.yaml'}" if flag else str(PRESETS / f"{name}.yaml")
    return argument


def _presets() -> list[str]:
    """Names that --config knows."""
    return [path.stem for path in PRESETS.glob("*.yaml")]


def keep_freed_memory() -> None:
    """Let glibc keep large freed blocks for the next step; giving them back each time costs a fifth of a step."""
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    most_mapped, trim_threshold = -4, -1
    mallopt(most_mapped, 0)
    mallopt(trim_threshold, 2**31 - 1)


def explained(run: Callable[[], int], hint: str) -> int:
    """Run a command; what a user can mend is told in one message.

    Args:
        run: the command; gives its exit code.
        hint: what to look at when the command line is wrong.

    Returns:
        The exit code: 2 when something given is wrong or the disk is full, 130 after Ctrl-C.
    """
    try:
        return run()
    except (InputError, ArgumentError) as error:
        _tell(f"{error}\n  {hint}" if isinstance(error, ArgumentError) else str(error))
        return 2
    except KeyboardInterrupt:
        say("interrupted", "before anything was worth keeping")
        return 130
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        _tell(f"{error.filename or 'the disk'}: {error.strerror}\n  Make room, then run again (a run: with --resume).")
        return 2


def _tell(message: str) -> None:
    console.print("[bold red]error[/bold red]", end=" ")
    console.print(message, markup=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the main job.

    Returns:
        0 when the run is whole, 2 when something given is wrong, 130 after Ctrl-C.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    keep_freed_memory()
    parser = build_parser()

    def run() -> int:
        parsed = parse(sys.argv[1:] if arguments is None else arguments, parser)
        from training import windows

        return windows.run(parser, parsed)

    return explained(run, f"--help lists all settings; presets: {', '.join(sorted(_presets()))}.")


if __name__ == "__main__":
    sys.exit(main())
