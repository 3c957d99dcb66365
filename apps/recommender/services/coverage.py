"""What the active model shows of the bank: how much of it, how evenly, and to whom."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from django.core.cache import cache

from apps.core.models import Epreuve
from apps.recommender import model_store, selectors
from apps.recommender.services.catalogue import catalogue_generation
from apps.recommender.services.top_lists import top_lists

# Of a student, 30 to 100 ms, by the size of the bank: so many fit in one request.
STUDENTS, SEED, KEPT_SECONDS = 100, 42, 3600


@dataclass(frozen=True)
class Coverage:
    """What the ten best of some students show of the published bank.

    shown: how many lists each published épreuve is in, those in none too, the most shown first.
    by_filiere: of each, the share of the bank that its students are shown.
    """

    version: str
    n_students: int
    shown: list[int]
    by_filiere: dict[str, float]

    @property
    def share(self) -> float:
        """Of the bank that is in at least one list."""
        return sum(number > 0 for number in self.shown) / len(self.shown)

    @cached_property
    def tenth(self) -> float:
        """The share of all places that the tenth most shown of the bank holds."""
        first = self.shown[: max(1, round(len(self.shown) / 10))]
        return sum(first) / sum(self.shown)

    @cached_property
    def gini(self) -> float:
        """Σ_i (2i - n - 1) x_i / (n Σ x), x ascending: 0 for all alike, 1 for one alone."""
        n, ascending = len(self.shown), self.shown[::-1]
        weighted = sum((2 * i - n - 1) * x for i, x in enumerate(ascending, start=1))
        return weighted / (n * sum(ascending))


def _key(version: str | None) -> str:
    return f"couverture:{version}:{catalogue_generation()}"


def known_coverage() -> Coverage | None:
    """The one measured last for what serves now; it costs a look at the cache."""
    kept: Coverage | None = cache.get(_key(model_store.active_model().version))
    return kept


def measure_coverage() -> Coverage | None:
    """Three to ten seconds; None without a model, or without a student whom it can score."""
    predictor = model_store.active_model().predictor
    if predictor is None:
        return None
    students = selectors.students_drawn(STUDENTS, seed=SEED)
    lists = top_lists(predictor, students)
    places = Counter(pk for shown in lists.values() for pk in shown)
    if not places:
        return None
    published = set(Epreuve.objects.published().order_by().values_list("pk", flat=True))
    by_filiere: dict[str, set[int]] = {}
    for student in students:
        name = student.filiere.code if student.filiere else "sans"
        by_filiere.setdefault(name, set()).update(lists.get(student.pk, ()))
    measured = Coverage(
        version=predictor.version,
        n_students=len(lists),
        shown=sorted((places[pk] for pk in published), reverse=True),
        by_filiere={
            name: len(shown) / len(published) for name, shown in sorted(by_filiere.items())
        },
    )
    cache.set(_key(predictor.version), measured, KEPT_SECONDS)
    return measured
