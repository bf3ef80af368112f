"""Put what `retention demo` prints into the README: python tests/docs/renew_readme.py."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "retention.cli", "demo", "--folder", "retention-demo"]
        printed = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
    text = README.read_text("utf-8")
    shown = f"<!-- demo output -->\n```text\n{printed}```"
    renewed = re.sub(r"<!-- demo output -->\n```text\n.*?```", lambda _: shown, text, flags=re.DOTALL)
    README.write_text(renewed, "utf-8", newline="\n")


if __name__ == "__main__":
    main()
