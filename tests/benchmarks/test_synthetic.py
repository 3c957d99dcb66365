import json

import numpy as np
import pytest

from apps.core.feedback import WEIGHTS
from apps.recommender.ml.data_loader import split_by_date
from apps.recommender.ml.metadata import fields_of
from apps.recommender.ml.synthetic import EVALUATION, Bank, generate
from benchmarks.synthetic import Size, main, metadata, oracle, positives

SIZE = "40x40x1600"


@pytest.fixture(scope="module")
def bank() -> Bank:
    return generate(40, 40, 1600)


def test_a_pair_is_dated_by_its_first_time_and_worth_its_best(bank: Bank) -> None:
    pairs, events = positives(bank), bank.events
    assert len(pairs) > 500
    for user, item, weight, first in zip(
        pairs.user_ids[:50],
        pairs.item_ids[:50],
        pairs.weights[:50],
        pairs.timestamps[:50],
        strict=True,
    ):
        theirs = (events.user_idx == user) & (events.item_idx == item)
        assert first == events.timestamps[theirs].min()
        note = events.note_pertinence[theirs].max()
        kinds = events.kind[theirs & (events.kind != EVALUATION)]
        gestures = [
            WEIGHTS[("vue", "telechargement", "evaluation", "commentaire")[k]] for k in kinds
        ]
        of_note = {0: 0, 3: 1, 4: 3, 5: 3}[note]
        assert weight == max(*gestures, of_note)


def test_a_pair_rated_one_or_two_is_no_positive(bank: Bank) -> None:
    events = bank.events
    disliked = (events.note_pertinence > 0) & (events.note_pertinence <= 2)
    given = set(zip(events.user_idx[disliked], events.item_idx[disliked], strict=True))
    pairs = positives(bank)
    assert given
    assert not given & set(zip(pairs.user_ids, pairs.item_ids, strict=True))


def test_models_get_what_the_bank_knows(bank: Bank) -> None:
    data = split_by_date(positives(bank), metadata(bank))
    assert {field.name for field in fields_of(data.user_traits)} == {"filiere", "niveau"}
    assert set(data.item_traits[0]) == {
        "matiere",
        "filiere",
        "niveau",
        "type",
        "session",
        "annee",
        "semestre",
    }
    assert all(
        isinstance(v, str) for one in data.item_traits for some in one.values() for v in some
    )
    assert data.item_texts[0] == bank.papers[data.item_ids[0]].titre.lower()


def test_the_oracle_ranks_by_the_true_preference(bank: Bank) -> None:
    data = split_by_date(positives(bank), metadata(bank))
    found = oracle(bank, data)
    assert 0.3 < found.metrics["ndcg_at_10"] < 0.9
    assert len(found.ndcg_by_user) == len(np.unique(data.part("test").user_idx))


def test_it_ends_with_one_line_of_json_and_shows_shares_of_the_oracle(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--sizes", SIZE, "--seeds", "42", "43", "--option", "hybrid.epochs=1"])
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    result = json.loads(line)
    assert result["seeds"] == [42, 43]
    found = result["sizes"][SIZE]
    assert list(found["models"]) == ["popularite", "ease", "ials", "hybrid"]
    for figures in found["models"].values():
        assert figures["share"] == pytest.approx(figures["ndcg@10"] / found["oracle"])
        assert len(figures["shares"]) == 2
    assert set(found["intervals"]) == {"popularite", "ease", "ials"}
    for word in ("oracle", "EASE", "part 43", "graine 43"):
        assert word in err


@pytest.mark.parametrize(
    "asked", [["--sizes", "200"], ["--sizes", "axbxc"], ["--option", "hybrid.depth=3"]]
)
def test_what_is_no_size_or_option_is_a_usage_error(asked: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(asked)


def test_an_impossible_bank_is_refused_with_possible_numbers() -> None:
    with pytest.raises(SystemExit, match="demandez-en"):
        main(["--sizes", "20x10x600"])


def test_a_size_reads_as_it_is_written() -> None:
    assert str(Size.of("200x150x15000")) == "200x150x15000"
