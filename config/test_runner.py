import argparse
from pathlib import Path
from typing import Any

import pytest


class PytestRunner:
    """Make `manage.py test [LABEL …]` run the one suite there is, with pytest."""

    def __init__(self, *, verbosity: int = 1, failfast: bool = False, **options: Any) -> None:
        self.verbosity = verbosity
        self.failfast = failfast

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """One option of Django's own; for more, call pytest."""
        parser.add_argument("--failfast", action="store_true", help="S'arrêter au premier échec.")

    def run_tests(self, test_labels: list[str], **kwargs: Any) -> int:
        argv = [_as_path(label) for label in test_labels]
        if self.verbosity == 0:
            argv.append("--quiet")
        elif self.verbosity > 1:
            argv.append("--verbose")
        if self.failfast:
            argv.append("--exitfirst")
        return int(pytest.main(argv))


def _as_path(label: str) -> str:
    """Django's own form, `tests.core.test_models`, names a file or a folder too."""
    folder = Path(*label.split("."))
    return next((str(path) for path in (folder.with_suffix(".py"), folder) if path.exists()), label)
