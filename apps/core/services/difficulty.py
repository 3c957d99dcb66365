from typing import NamedTuple

from django.db import transaction

from apps.core.calibration import Rating, difficulties
from apps.core.models import Epreuve, Evaluation

BATCH = 200


class CalibrationReport(NamedTuple):
    evaluations: int
    epreuves: int
    changed: int


def calibrate_difficulty() -> CalibrationReport:
    """Estimate the difficulty of every épreuve from all the notes; write what is new of it."""
    notes = Evaluation.objects.counted().order_by("pk")
    columns = notes.values_list("user_id", "epreuve_id", "note_difficulte")
    ratings = [Rating(*row) for row in columns.iterator()]
    estimated = {pk: round(value, 2) for pk, value in difficulties(ratings).items()}
    stored = Epreuve.objects.order_by("pk").values_list("pk", "difficulte_calibree")
    changed = [pk for pk, before in stored if before != estimated.get(pk)]
    for start in range(0, len(changed), BATCH):
        _write(changed[start : start + BATCH], estimated)
    return CalibrationReport(len(ratings), len(estimated), len(changed))


@transaction.atomic
def _write(ids: list[int], estimated: dict[int, float]) -> None:
    # In the order in which `recount` locks them.
    locked = Epreuve.objects.select_for_update(no_key=True).order_by("pk")
    epreuves = list(locked.filter(pk__in=ids))
    for epreuve in epreuves:
        epreuve.difficulte_calibree = estimated.get(epreuve.pk)
    Epreuve.objects.bulk_update(epreuves, ["difficulte_calibree"])
