"""What a model would recommend to many students at once: as production would, but no fallback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from apps.core.models import User
from apps.recommender import selectors

if TYPE_CHECKING:
    from apps.recommender.ml.predictor import Predictor

TOP = 10


def top_lists(predictor: Predictor, students: Sequence[User]) -> dict[int, list[int]]:
    """The ids of the ten best unseen épreuves of each student whom the model can score."""
    import numpy as np

    catalogue = selectors.published_catalogue()
    newcomers = predictor.newcomers(*catalogue)
    pasts, seen = selectors.pasts_of(students), selectors.seen_by(students)
    lists: dict[int, list[int]] = {}
    for student in students:
        past = pasts[student.pk]
        if not predictor.can_score(student.pk, past):
            continue
        ids, scores = predictor.user_scores(student.pk, past, newcomers)
        open_to = np.isin(ids, catalogue.ids) & ~np.isin(ids, list(seen[student.pk]))
        order = np.lexsort((ids[open_to], -scores[open_to]))[:TOP]
        lists[student.pk] = ids[open_to][order].tolist()
    return lists
