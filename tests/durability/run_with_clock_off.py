"""``cli.py run`` with the clock of API and worker put off; all else is on time.

python -m tests.durability.run_with_clock_off LIBRARY SECONDS --data DIR ...
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from unittest.mock import patch

from stack.environment import Blueprint
from stack.supervisor import RunOptions, run


def main() -> int:
    """Run with the options the driver gives."""
    options = argparse.ArgumentParser()
    options.add_argument("library")
    options.add_argument("seconds")
    options.add_argument("--data", type=Path)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    on_time = Blueprint.product_environment

    def put_off(blueprint: Blueprint) -> dict[str, str]:
        return {
            **on_time(blueprint),
            "LD_PRELOAD": chosen.library,
            "CLOCK_OFF_SECONDS": chosen.seconds,
        }

    with patch.object(Blueprint, "product_environment", put_off):
        return run(RunOptions(data=chosen.data, as_json=chosen.json))


if __name__ == "__main__":
    sys.exit(main())
