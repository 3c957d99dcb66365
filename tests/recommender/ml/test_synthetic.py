from dataclasses import astuple

import numpy as np
import pytest

from apps.core.feedback import DISLIKED_PERTINENCE, WEIGHT_BY_PERTINENCE, WEIGHTS
from apps.core.models import FENETRE_SECONDES
from apps.recommender.ml import synthetic
from apps.recommender.ml.baselines import Ease, Popularity
from apps.recommender.ml.curriculum import COURSES, FILIERES, HOME, MATIERES, NIVEAUX
from apps.recommender.ml.data_loader import Dataset, Interactions, split_by_date
from apps.recommender.ml.evaluation import Scores, evaluate, student_scores
from apps.recommender.ml.synthetic import (
    COMMENTAIRE,
    EVALUATION,
    KINDS,
    VUE,
    Bank,
    ImpossibleBank,
    generate,
)

SEEDS = (42, 43, 44)
DAY = 86400


@pytest.fixture(scope="module", params=SEEDS)
def bank(request: pytest.FixtureRequest) -> Bank:
    return generate(seed=request.param)


def positives(bank: Bank) -> Interactions:
    """Distinct pairs at their first time, weighted and sifted as the real bank's are."""
    first: dict[tuple[int, int], int] = {}
    weights: dict[tuple[int, int], int] = {}
    disliked = set()
    events = bank.events
    for user, item, kind, time, note in zip(
        events.user_idx.tolist(),
        events.item_idx.tolist(),
        events.kind.tolist(),
        events.timestamps.tolist(),
        events.note_pertinence.tolist(),
        strict=True,
    ):
        pair = user, item
        first.setdefault(pair, time)
        weight = WEIGHT_BY_PERTINENCE.get(note, 0) if note else WEIGHTS[KINDS[kind]]
        weights[pair] = max(weights.get(pair, 0), weight)
        if 0 < note <= DISLIKED_PERTINENCE:
            disliked.add(pair)
    kept = [pair for pair in first if pair not in disliked]
    users, items = np.array(kept).T
    return Interactions(
        users,
        items,
        np.array([weights[pair] for pair in kept], np.float32),
        np.array([first[pair] for pair in kept]),
    )


def ndcg_at_10(scores: Scores, dataset: Dataset) -> float:
    return evaluate(scores, dataset, part="test").metrics["ndcg_at_10"]


def test_a_model_has_something_to_learn_and_something_left_to_learn(bank):
    dataset = split_by_date(positives(bank))
    truth = bank.preferences[np.ix_(dataset.user_ids, dataset.item_ids)].astype(np.float32)
    oracle = ndcg_at_10(lambda user_idx: truth[user_idx], dataset)
    popularity, ease = Popularity(), Ease(10)
    for model in (popularity, ease):
        model.fit(dataset, np.random.default_rng(42))
    popular, shallow = (ndcg_at_10(student_scores(m, dataset), dataset) for m in (popularity, ease))
    assert 0.35 <= oracle <= 0.70
    assert popular <= 0.6 * oracle
    assert 2 * popular <= shallow <= 0.8 * oracle


@pytest.mark.parametrize(
    ("n_users", "n_items", "n_interactions"),
    [(200, 150, 15000), (20, 30, 600), (1, 30, 20), (3, 30, 1200), (40, 60, 801)],
)
def test_sizes_are_exact(n_users, n_items, n_interactions):
    bank = generate(n_users, n_items, n_interactions)
    sizes = len(bank.students), len(bank.papers), len(bank.events.kind), len(bank.teachers)
    assert sizes == (n_users, n_items, n_interactions, 10)
    assert bank.preferences.shape == (n_users, n_items)
    met = np.zeros((n_users, n_items), dtype=bool)
    met[bank.events.user_idx, bank.events.item_idx] = True
    assert np.all((met.sum(axis=1) >= 20) & (met.sum(axis=1) <= 35))


@pytest.mark.parametrize(
    ("sizes", "advice"),
    [
        ((0, 150, 100), "au moins 1 étudiant"),
        ((20, 29, 600), "de 30 "),
        ((20, 10**6, 600), "à 2520"),
        ((20, 30, 399), "de 400 à 8000"),
        ((20, 30, 8001), "de 400 à 8000"),
    ],
)
def test_impossible_numbers_are_refused_with_possible_ones(sizes, advice):
    with pytest.raises(ImpossibleBank, match=advice):
        generate(*sizes)


def test_a_negative_seed_is_refused():
    with pytest.raises(ImpossibleBank, match="graine"):
        generate(seed=-1)


def test_the_same_seed_makes_the_same_bank():
    one, two = generate(seed=7), generate(seed=7)
    assert (one.students, one.teachers, one.papers) == (two.students, two.teachers, two.papers)
    for mine, yours in zip(astuple(one.events), astuple(two.events), strict=True):
        assert np.array_equal(mine, yours)
    assert np.array_equal(one.preferences, two.preferences)


def test_another_seed_makes_another_bank():
    one, two = generate(seed=7), generate(seed=8)
    assert not np.array_equal(one.events.timestamps, two.events.timestamps)
    assert one.papers != two.papers


def test_a_kind_counts_once_in_a_half_hour(bank):
    events = bank.events
    assert synthetic.WINDOW_SECONDS == FENETRE_SECONDES
    windows = events.timestamps // FENETRE_SECONDES
    rows = np.stack([events.user_idx, events.item_idx, events.kind, windows])
    assert len(np.unique(rows, axis=1).T) == len(events.kind)


def test_a_pair_is_viewed_first_and_rated_and_commented_at_most_once(bank):
    events = bank.events
    pairs = np.stack([events.user_idx, events.item_idx])
    _, first = np.unique(pairs, axis=1, return_index=True)
    assert np.all(events.kind[first] == VUE)
    for kind in (EVALUATION, COMMENTAIRE):
        once = pairs[:, events.kind == kind]
        assert len(np.unique(once, axis=1).T) == once.shape[1] > 200


def test_notes_belong_to_evaluations_and_texts_to_comments(bank):
    events = bank.events
    rated = events.kind == EVALUATION
    for notes in (events.note_difficulte, events.note_pertinence):
        assert set(notes[rated].tolist()) == {1, 2, 3, 4, 5}
        assert not notes[~rated].any()
    assert [bool(text) for text in events.texts] == (events.kind == COMMENTAIRE).tolist()


def test_nothing_happens_out_of_term_or_before_publication(bank):
    events = bank.events
    assert np.all(np.diff(events.timestamps) >= 0)
    assert events.timestamps[0] >= np.datetime64("2024-10-01", "s").astype(int)
    assert events.timestamps[-1] <= np.datetime64("2026-07-15", "s").astype(int)
    publication = np.array([paper.publication for paper in bank.papers])
    assert np.all(events.timestamps >= publication[events.item_idx])


def test_first_year_students_were_not_there_the_year_before(bank):
    newcomers = [idx for idx, student in enumerate(bank.students) if student.niveau == "L1"]
    theirs = np.isin(bank.events.user_idx, newcomers)
    assert bank.events.timestamps[theirs].min() >= np.datetime64("2025-10-01", "s").astype(int)


def test_students_work_most_before_examinations(bank):
    eve = np.datetime64("2026-06-15", "s").astype(int)
    times = bank.events.timestamps
    before = np.sum((times > eve - 14 * DAY) & (times <= eve))
    quiet = np.sum((times > eve - 60 * DAY) & (times <= eve - 46 * DAY))
    assert before > 1.5 * quiet


def test_students_keep_to_their_filiere_and_niveau(bank):
    pairs = positives(bank)
    courses = [bank.papers[item].course for item in pairs.item_ids]
    students = [bank.students[user] for user in pairs.user_ids]
    strangers = [
        course.filiere not in (None, student.filiere)
        for course, student in zip(courses, students, strict=True)
    ]
    above = [
        course.niveau_idx > NIVEAUX.index(student.niveau)
        for course, student in zip(courses, students, strict=True)
    ]
    assert np.mean(strangers) < 0.05
    assert np.mean(above) < 0.05


def test_a_few_papers_take_more_than_their_share(bank):
    counts = np.sort(np.bincount(positives(bank).item_ids, minlength=len(bank.papers)))[::-1]
    assert counts[:30].sum() > 0.3 * counts.sum()


def test_etudiant1_has_ten_relevant_papers_left_to_see(bank):
    student = bank.students[0]
    assert (student.username, student.filiere, student.niveau) == ("etudiant1", "MATH", "L3")
    seen = set(bank.events.item_idx[bank.events.user_idx == 0].tolist())
    relevant = [
        idx
        for idx, paper in enumerate(bank.papers)
        if paper.course.filiere in (None, "MATH") and paper.niveau in ("L2", "L3")
    ]
    assert len(set(relevant) - seen) >= 10


def test_titles_and_references_are_never_shared():
    papers = generate(20, synthetic.MAX_ITEMS, 600).papers
    assert len({paper.titre for paper in papers}) == synthetic.MAX_ITEMS
    assert len({paper.reference for paper in papers}) == synthetic.MAX_ITEMS


def test_every_exercise_can_be_printed():
    for course in COURSES:
        assert course.matiere in MATIERES
        assert course.filiere is None or course.filiere in FILIERES
        for exercise in course.exercises:
            text = (exercise.question + exercise.answer).format(a=2, b=3, n=4)
            assert "{" not in text
            text.encode("latin-1")


def test_every_matiere_has_a_home_and_a_course():
    assert set(HOME) == set(MATIERES) == {course.matiere for course in COURSES}
    assert set(HOME.values()) == set(FILIERES)
