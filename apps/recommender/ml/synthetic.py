"""A made bank whose students behave by rules that no model of ours shares.

Students meet épreuves one after the other, in calendar order. At time t, student u takes the
unseen épreuve i with probability proportional to

    preference(u, i)² · exposure(i, t) · season(i, t) · published(i, t)

where preference = filière gate · niveau gate · taste for the matière · taste for the type · a
whim, exposure grows with what others already took, and season follows the semesters. The true
preference is part of the answer, so that an oracle can rank by it. Fixed before any model was
chosen, and no dot product of latent vectors: docs/donnees_synthetiques.md says why.

Legend: U students, I épreuves, N interactions, P distinct pairs, Y academic years.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from apps.recommender.ml.curriculum import (
    COMMENTAIRES,
    COURSES,
    FILIERES,
    HOME,
    MATIERES,
    NIVEAUX,
    NOMS,
    PRENOMS,
    Course,
)
from apps.recommender.ml.errors import MlError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

KINDS = ("vue", "telechargement", "evaluation", "commentaire")
VUE, TELECHARGEMENT, EVALUATION, COMMENTAIRE = range(len(KINDS))
WINDOW_SECONDS = 1800

N_TEACHERS = 10
MIN_DISTINCT, MAX_DISTINCT = 20, 35
MIN_UNSEEN = 10
MAX_PER_STUDENT = 400

# Behaviour. A niveau gate is by distance: item two below, one below, same, one above, beyond.
NIVEAU_GATE = np.array([0.04, 0.35, 1.0, 0.08, 0.01])
FILIERE_GATE, AWAY_FROM_HOME = 0.03, 0.5
TASTE_SHAPE, TYPE_TASTE_SHAPE, WHIM_SIGMA = 1.0, 2.0, 0.3
SHARPNESS = 2.0
OUT_OF_SEASON = 0.6
ATTRACTION_SIGMA, CROWD_POWER = 0.5, 0.5

# Two academic years, October to mid July. Never relative to today: same seed, same rows.
YEARS = (2024, 2025)
EXAMS = ((12, 15), (2, 5), (6, 15), (7, 8))
RUN_UP_DAYS = 25
END = int(datetime(2026, 7, 15, tzinfo=UTC).timestamp())

PAPER_KINDS = (
    ("examen", "normale", "Examen"),
    ("examen", "rattrapage", "Examen de rattrapage"),
    ("partiel", "unique", "Partiel"),
    ("devoir", "unique", "Devoir surveillé"),
    ("td", "unique", "Travaux dirigés"),
)
TYPES = tuple(dict.fromkeys(type_epreuve for type_epreuve, _, _ in PAPER_KINDS))
PAPER_YEARS = tuple(range(2013, 2025))
MAX_ITEMS = len(COURSES) * len(PAPER_KINDS) * len(PAPER_YEARS)


class ImpossibleBank(MlError):
    """The numbers asked for cannot all hold; says which ones would."""


@dataclass(frozen=True)
class Person:
    """A student, or a teacher when filiere and niveau are empty."""

    username: str
    prenom: str
    nom: str
    filiere: str = ""
    niveau: str = ""


@dataclass(frozen=True)
class Paper:
    """An épreuve: what its row and its PDF say. `publication` is in epoch seconds."""

    reference: str
    titre: str
    course: Course
    type_epreuve: str
    session: str
    annee_academique: str
    annee: int
    teacher_idx: int
    publication: int

    @property
    def niveau(self) -> str:
        """The niveau that the course belongs to."""
        return NIVEAUX[self.course.niveau_idx]


@dataclass(frozen=True)
class Events:
    """What happened, in order of time: arrays [N], and N texts. A note of 0 means none."""

    user_idx: Ints
    item_idx: Ints
    kind: Ints  # row of KINDS
    timestamps: Ints  # epoch seconds
    note_difficulte: Ints
    note_pertinence: Ints
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Bank:
    """Students, teachers, épreuves, events, and preferences [U, I] that nobody but us knows."""

    students: tuple[Person, ...]
    teachers: tuple[Person, ...]
    papers: tuple[Paper, ...]
    events: Events
    preferences: Floats


def generate(
    n_users: int = 200, n_items: int = 150, n_interactions: int = 15000, *, seed: int = 42
) -> Bank:
    """Make a bank of exactly these sizes; the same seed makes the same bank.

    Every student meets 20 to 35 distinct épreuves and leaves at least 10. Rows are unique under
    (student, épreuve, kind, half hour). Raises ImpossibleBank.
    """
    _refuse_impossible(n_users, n_items, n_interactions, seed)
    rng = np.random.default_rng(seed)
    students = _students(rng, n_users)
    papers = _papers(rng, n_items)
    preferences = _preferences(rng, students, papers)  # [Y, U, I]
    most = min(MAX_DISTINCT, n_items - MIN_UNSEEN, n_interactions // n_users)
    n_distinct = rng.integers(MIN_DISTINCT, most + 1, size=n_users)
    pairs = _encounters(rng, students, papers, preferences, n_distinct)
    events = _events(rng, students, papers, preferences[-1], pairs, n_interactions)
    teachers = tuple(_person(rng, f"enseignant{number}") for number in range(1, N_TEACHERS + 1))
    return Bank(students, teachers, papers, events, preferences[-1])


def _refuse_impossible(n_users: int, n_items: int, n_interactions: int, seed: int) -> None:
    if n_users < 1:
        raise ImpossibleBank("Il faut au moins 1 étudiant.")
    if seed < 0:
        raise ImpossibleBank("La graine doit être un entier positif ou nul.")
    if not MIN_DISTINCT + MIN_UNSEEN <= n_items <= MAX_ITEMS:
        raise ImpossibleBank(
            f"{n_items} épreuves : demandez-en de {MIN_DISTINCT + MIN_UNSEEN} (chaque étudiant "
            f"en rencontre {MIN_DISTINCT} et en laisse {MIN_UNSEEN}) à {MAX_ITEMS} (tout le "
            "programme)."
        )
    least, most = n_users * MIN_DISTINCT, n_users * MAX_PER_STUDENT
    if not least <= n_interactions <= most:
        raise ImpossibleBank(
            f"{n_interactions} interactions pour {n_users} étudiants : demandez-en de {least} à "
            f"{most}, soit {MIN_DISTINCT} à {MAX_PER_STUDENT} par étudiant."
        )


# --- Who and what ----------------------------------------------------------------------------


def _person(rng: np.random.Generator, username: str, filiere: str = "", niveau: str = "") -> Person:
    prenom, nom = PRENOMS[rng.integers(len(PRENOMS))], NOMS[rng.integers(len(NOMS))]
    return Person(username, prenom, nom, filiere, niveau)


def _students(rng: np.random.Generator, n_users: int) -> tuple[Person, ...]:
    filieres = rng.choice(list(FILIERES), size=n_users)
    niveaux = rng.choice(NIVEAUX, size=n_users)
    # etudiant1 is whom the documentation shows: the same kind of student under every seed.
    filieres[0], niveaux[0] = "MATH", "L3"
    return tuple(
        _person(rng, f"etudiant{number}", str(filiere), str(niveau))
        for number, (filiere, niveau) in enumerate(zip(filieres, niveaux, strict=True), start=1)
    )


def _papers(rng: np.random.Generator, n_items: int) -> tuple[Paper, ...]:
    """Courses in turn, so that each has its share; within a course, kinds and years at random."""
    n_variants = len(PAPER_KINDS) * len(PAPER_YEARS)
    courses = rng.permutation(len(COURSES))
    variants = rng.permuted(np.tile(np.arange(n_variants), (len(COURSES), 1)), axis=1)
    return tuple(
        _paper(number, int(courses[number % len(COURSES)]), int(variant))
        for number, variant in enumerate(variants.T.ravel()[:n_items])
    )


def _paper(number: int, course_idx: int, variant: int) -> Paper:
    course = COURSES[course_idx]
    kind_idx, year_idx = divmod(variant, len(PAPER_YEARS))
    type_epreuve, session, label = PAPER_KINDS[kind_idx]
    year = PAPER_YEARS[year_idx]
    opening = datetime(max(year + 1, YEARS[0]), 9, 1, 8, tzinfo=UTC)
    return Paper(
        reference=f"SYN-{number + 1:04}",
        titre=f"{course.nom} : {label.lower()} {year}-{year + 1}",
        course=course,
        type_epreuve=type_epreuve,
        session=session,
        annee_academique=f"{year}-{year + 1}",
        annee=year + 1,
        teacher_idx=course_idx % N_TEACHERS,
        publication=int((opening + timedelta(minutes=15 * number)).timestamp()),
    )


# --- What students would like ----------------------------------------------------------------


def _preferences(
    rng: np.random.Generator, students: Sequence[Person], papers: Sequence[Paper]
) -> Floats:
    """[Y, U, I]: a student who is in L3 in the last year was in L2 the year before."""
    shape = len(students), len(papers)
    gates = _niveau_gates(students, papers) * _filiere_gates(students, papers)
    whims = rng.lognormal(sigma=WHIM_SIGMA, size=shape)
    return gates * _tastes(rng, students, papers) * whims


def _niveau_gates(students: Sequence[Person], papers: Sequence[Paper]) -> Floats:
    niveaux = np.array([NIVEAUX.index(student.niveau) for student in students])
    back = np.arange(len(YEARS))[::-1]
    levels = niveaux - back[:, None]  # [Y, U]
    distances = np.array([paper.course.niveau_idx for paper in papers]) - levels[:, :, None]
    return NIVEAU_GATE[np.clip(distances, -2, 2) + 2]


def _filiere_gates(students: Sequence[Person], papers: Sequence[Paper]) -> Floats:
    """[U, I]: one's own courses; common ones, less so away from home; hardly any other."""
    mine = np.array([student.filiere for student in students])[:, None]
    theirs = np.array([paper.course.filiere or "" for paper in papers])
    homes = np.array([HOME[paper.course.matiere] for paper in papers])
    common = np.where(mine == homes, 1.0, AWAY_FROM_HOME)
    return np.where(theirs == "", common, np.where(mine == theirs, 1.0, FILIERE_GATE))


def _tastes(
    rng: np.random.Generator, students: Sequence[Person], papers: Sequence[Paper]
) -> Floats:
    """[U, I]: gamma-distributed tastes, a table look-up by matière and by type."""
    matieres = [list(MATIERES).index(paper.course.matiere) for paper in papers]
    types = [TYPES.index(paper.type_epreuve) for paper in papers]
    by_matiere = rng.gamma(TASTE_SHAPE, 1 / TASTE_SHAPE, size=(len(students), len(MATIERES)))
    by_type = rng.gamma(TYPE_TASTE_SHAPE, 1 / TYPE_TASTE_SHAPE, size=(len(students), len(TYPES)))
    return (by_matiere[:, matieres] + 0.05) * (by_type[:, types] + 0.05)


# --- When and in which order -----------------------------------------------------------------


@dataclass(frozen=True)
class _Pairs:
    """Distinct (student, épreuve) pairs [P], each at its first time."""

    user_idx: Ints
    item_idx: Ints
    timestamps: Ints


def _encounters(
    rng: np.random.Generator,
    students: Sequence[Person],
    papers: Sequence[Paper],
    preferences: Floats,
    n_distinct: Ints,
) -> _Pairs:
    """Walk through time; every choice makes its épreuve a little more visible to the others."""
    user_idx, timestamps = _visits(rng, students, n_distinct)
    publication = np.array([paper.publication for paper in papers])
    years, halves = _academic_halves(timestamps)
    even = np.array([paper.course.semestre % 2 == 0 for paper in papers])
    season = np.where(np.stack([~even, even]), 1.0, OUT_OF_SEASON)  # [2, I]
    exposure = rng.lognormal(sigma=ATTRACTION_SIGMA, size=len(papers))
    taken = np.zeros(len(papers))
    unseen = np.ones((len(students), len(papers)), dtype=bool)
    item_idx = np.empty(len(user_idx), dtype=np.int64)
    draws = rng.random(len(user_idx))
    for visit, user in enumerate(user_idx):
        open_to = unseen[user] & (publication <= timestamps[visit])
        weights = (
            preferences[years[visit], user] ** SHARPNESS
            * season[halves[visit]]
            * exposure
            * open_to
        )
        cumulated = np.cumsum(weights * (1 + taken) ** CROWD_POWER)
        item = int(np.searchsorted(cumulated, draws[visit] * cumulated[-1], side="right"))
        item_idx[visit] = item
        unseen[user, item] = False
        taken[item] += 1
    return _Pairs(user_idx, item_idx, timestamps)


def _visits(
    rng: np.random.Generator, students: Sequence[Person], n_distinct: Ints
) -> tuple[Ints, Ints]:
    """Who comes when, [P] and [P] in order of time; first-niveau students have one year only."""
    days, weights, years = _calendar()
    user_idx = np.repeat(np.arange(len(students)), n_distinct)
    newcomer = np.array([student.niveau == NIVEAUX[0] for student in students])[user_idx]
    last_year = weights * (years == len(YEARS) - 1)
    day = np.where(
        newcomer,
        rng.choice(days, size=len(user_idx), p=last_year / last_year.sum()),
        rng.choice(days, size=len(user_idx), p=weights / weights.sum()),
    )
    seconds = rng.triangular(6 * 3600, 19 * 3600, 22 * 3600, size=len(user_idx))
    timestamps = day + seconds.astype(np.int64)
    order = np.argsort(timestamps, kind="stable")
    return user_idx[order], timestamps[order]


def _calendar() -> tuple[Ints, Floats, Ints]:
    """Days [D] (epoch seconds), how busy each is, and its academic year: full before exams."""
    starts = [int(datetime(year, 10, 1, tzinfo=UTC).timestamp()) for year in YEARS]
    ends = [int(datetime(year + 1, 7, 15, tzinfo=UTC).timestamp()) for year in YEARS]
    years = [np.arange(a, b, 86400) for a, b in zip(starts, ends, strict=True)]
    days = np.concatenate(years)
    weights = np.full(len(days), 0.3)
    for year in YEARS:
        for month, day in EXAMS:
            exam = datetime(year + (month < 10), month, day, tzinfo=UTC).timestamp()
            before = (exam - days) / 86400
            run_up = (before >= 0) & (before <= RUN_UP_DAYS)
            weights += np.where(run_up, 1.5 * np.exp(-np.abs(before) / 10), 0.0)
    return days, weights, np.repeat(np.arange(len(YEARS)), [len(year) for year in years])


def _academic_halves(timestamps: Ints) -> tuple[Ints, Ints]:
    """The academic year [P] and its half [P], 0 until the examinations of February."""
    openings = [datetime(year, 10, 1, tzinfo=UTC).timestamp() for year in YEARS]
    turns = [datetime(year + 1, 2, 6, tzinfo=UTC).timestamp() for year in YEARS]
    years = np.searchsorted(openings, timestamps, side="right") - 1
    return years, (timestamps >= np.array(turns)[years]).astype(np.int64)


# --- What they did ---------------------------------------------------------------------------


def _events(
    rng: np.random.Generator,
    students: Sequence[Person],
    papers: Sequence[Paper],
    preferences: Floats,
    pairs: _Pairs,
    n_interactions: int,
) -> Events:
    """One view a pair, then what followed, then repeats up to exactly n_interactions."""
    liking = _liking(preferences, pairs)
    pair, kind, timestamps = _follow_ups(rng, pairs, liking, n_interactions - len(liking))
    pair = np.concatenate([np.arange(len(liking)), pair])
    kind = np.concatenate([np.full(len(liking), VUE), kind])
    timestamps = np.concatenate([pairs.timestamps, timestamps])
    pair, kind, timestamps = _with_repeats(
        rng, pairs, liking, (pair, kind, timestamps), n_interactions
    )
    order = np.lexsort((kind, pair, timestamps))
    pair, kind, timestamps = pair[order], kind[order], timestamps[order]

    difficulte, pertinence = _opinions(rng, students, papers, pairs, liking)
    rated = kind == EVALUATION
    picks = rng.integers(60, size=len(kind))
    texts = tuple(
        COMMENTAIRES[int(note)][pick % len(COMMENTAIRES[int(note)])] if what == COMMENTAIRE else ""
        for note, pick, what in zip(pertinence[pair], picks, kind, strict=True)
    )
    return Events(
        user_idx=pairs.user_idx[pair],
        item_idx=pairs.item_idx[pair],
        kind=kind,
        timestamps=timestamps,
        note_difficulte=np.where(rated, difficulte[pair], 0),
        note_pertinence=np.where(rated, pertinence[pair], 0),
        texts=texts,
    )


def _liking(preferences: Floats, pairs: _Pairs) -> Floats:
    """[P]: log preference, 0 on average and of deviation 1 over what the student met."""
    logs = np.log(preferences[pairs.user_idx, pairs.item_idx])
    counts = np.bincount(pairs.user_idx)
    centred = logs - (np.bincount(pairs.user_idx, logs) / counts)[pairs.user_idx]
    deviations = np.sqrt(np.bincount(pairs.user_idx, centred**2) / counts)
    return centred / deviations[pairs.user_idx]


def _follow_ups(
    rng: np.random.Generator, pairs: _Pairs, liking: Floats, most: int
) -> tuple[Ints, Ints, Ints]:
    """A download soon after the view, an evaluation and a comment within days: at most `most`."""
    chances = np.stack(
        [
            1 / (1 + np.exp(-0.3 - liking)),
            np.full(len(liking), 0.22),
            np.full(len(liking), 0.06),
        ]
    )
    kind, pair = np.nonzero(rng.random(chances.shape) < chances)
    kept = rng.permutation(len(pair))[:most]
    pair, kind = pair[kept], kind[kept] + TELECHARGEMENT
    soon = rng.integers(60, 1200, size=len(pair))
    later = rng.integers(3600, 10 * 86400, size=len(pair))
    lags = np.where(kind == TELECHARGEMENT, soon, later)
    return pair, kind, np.minimum(pairs.timestamps[pair] + lags, END)


def _with_repeats(
    rng: np.random.Generator,
    pairs: _Pairs,
    liking: Floats,
    done: tuple[Ints, Ints, Ints],
    total: int,
) -> tuple[Ints, Ints, Ints]:
    """Further views and downloads, each in a half hour of its own, until there are `total`."""
    chances = np.exp(0.5 * liking) / np.exp(0.5 * liking).sum()
    while (missing := total - len(done[0])) > 0:
        pair = rng.choice(len(liking), size=2 * missing, p=chances)
        kind = np.where(rng.random(len(pair)) < 0.7, VUE, TELECHARGEMENT)
        lags = WINDOW_SECONDS + rng.exponential(20 * 86400, size=len(pair))
        timestamps = pairs.timestamps[pair] + lags.astype(np.int64)
        drawn = (
            np.concatenate([old, new[timestamps <= END]])
            for old, new in zip(done, (pair, kind, timestamps), strict=True)
        )
        pair, kind, timestamps = drawn
        rows = np.stack([pair, kind, timestamps // WINDOW_SECONDS])
        first = np.sort(np.unique(rows, axis=1, return_index=True)[1])[:total]
        done = pair[first], kind[first], timestamps[first]
    return done


def _opinions(
    rng: np.random.Generator,
    students: Sequence[Person],
    papers: Sequence[Paper],
    pairs: _Pairs,
    liking: Floats,
) -> tuple[Ints, Ints]:
    """Notes 1 to 5 [P] each: difficulty by épreuve and niveau, relevance by liking, and noise."""
    hardness = rng.normal(scale=0.7, size=len(papers))
    taught = np.array([paper.course.niveau_idx for paper in papers])
    reached = np.array([NIVEAUX.index(student.niveau) for student in students])
    ahead = taught[pairs.item_idx] - reached[pairs.user_idx]
    difficulte = 3 + hardness[pairs.item_idx] + 0.6 * ahead + rng.normal(scale=0.6, size=len(ahead))
    pertinence = 3.7 + 0.8 * liking + rng.normal(scale=0.7, size=len(liking))
    return _as_notes(difficulte), _as_notes(pertinence)


def _as_notes(values: Floats) -> Ints:
    return np.clip(np.rint(values), 1, 5).astype(np.int64)
