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
