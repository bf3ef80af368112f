"""What the pages' hidden cells use: a command shown as a terminal shows it, run as it is shown."""

import os
import re
import subprocess

from IPython.display import Markdown

__all__ = ["shell"]


def shell(*commands: str, code: int = 0) -> Markdown:
    """Run the commands in one shell and show each with what it prints; the last must end with the exit code given."""
    shown = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            check=False,
        )
        expected = code if command is commands[-1] else 0
        if done.returncode != expected:
            raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stdout}")
        shown += [f"$ {_folded(command)}", done.stdout.rstrip()]
        if code:
            shown += ["$ echo $?", str(code)]
    text = "\n".join(line for line in shown if line)
    return Markdown(f"````console\n{text}\n````")


def _folded(command: str, width: int = 88) -> str:
    """A long command on two lines, as one may type it."""
    options = [at.start() for at in re.finditer(" --", command) if at.start() < width]
    if len(command) <= width or not options:
        return command
    return f"{command[: options[-1]]} \\\n    {command[options[-1] + 1 :]}"
