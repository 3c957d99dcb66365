from dataclasses import dataclass
from pathlib import Path

import pytest

N = 24


@pytest.fixture
def board_log(tmp_path: Path) -> Path:
    """A checkerboard: each of 24 people took the 12 items of their parity."""
    pairs = [f"u{user}\ti{item}\t4" for user in range(N) for item in range(user % 2, N, 2)]
    file = tmp_path / "board.inter"
    file.write_text("\n".join(["user_id:token\titem_id:token\trating:float", *pairs]))
    return file


@dataclass(frozen=True)
class Files:
    """What RecBole has of a data set."""

    log: Path
    items: Path
    users: Path

    @property
    def arguments(self) -> list[str]:
        """For `benchmarks.quality`."""
        return [
            "--protocol=holdout",
            f"--data={self.log}",
            f"--items={self.items}",
            f"--users={self.users}",
        ]


@pytest.fixture
def board(tmp_path: Path) -> Files:
    """The checkerboard with notes, dates, and what is known: colours say the parity."""
    colours = "white", "black"
    pairs = [
        f"u{user}\ti{item}\t{1 + (user + item) % 5}\t{1000 * item + user}.0"
        for user in range(N)
        for item in range(user % 2, N, 2)
    ]
    tables = {
        "inter": ["user_id:token\titem_id:token\trating:float\ttimestamp:float", *pairs],
        "item": [
            "item_id:token\ttitle:token_seq\tyear:token\tclass:token_seq",
            *(
                f'i{item}\tThe "{colours[item % 2]}" {item}\t{1950 + item}\tbig {colours[item % 2]}'
                for item in range(N)
            ),
        ],
        "user": [
            "user_id:token\tcolour:token\tzip_code:token",
            *(f"u{user}\t{colours[user % 2]}\tT{user}" for user in range(N)),
        ],
    }
    for kind, lines in tables.items():
        (tmp_path / f"dated.{kind}").write_text("\n".join(lines), encoding="utf-8")
    return Files(*(tmp_path / f"dated.{kind}" for kind in tables))
