"""``cli.py run`` over stand-ins: the supervisor as it is, the product replaced."""

import argparse
import sys
from pathlib import Path

from stack.errors import StackError
from stack.supervisor import RunOptions, run
from stack.temporal_choice import TemporalKind


def main() -> int:
    """Run with the options the driver gives."""
    options = argparse.ArgumentParser()
    options.add_argument("repository", type=Path)
    options.add_argument("--data", type=Path)
    options.add_argument("--json", action="store_true")
    options.add_argument("--workers", type=int, default=1)
    options.add_argument("--api-port", type=int)
    options.add_argument("--temporal", type=TemporalKind, default=TemporalKind.DEV)
    options.add_argument("--edge", action="store_true")
    chosen = options.parse_args()
    try:
        return run(
            RunOptions(
                data=chosen.data,
                as_json=chosen.json,
                workers=chosen.workers,
                api_port=chosen.api_port,
                temporal=chosen.temporal,
                edge=chosen.edge,
                repository=chosen.repository,
            )
        )
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
