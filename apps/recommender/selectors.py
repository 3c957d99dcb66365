"""ORM rows -> NumPy arrays and ids: the only translator between the bank and `ml`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Min

from apps.core.models import Epreuve, Interaction, Statut
from apps.core.selectors import positive_pairs

if TYPE_CHECKING:
    from apps.recommender.ml.data_loader import Interactions


def training_pairs() -> Interactions:
    """What people liked of the published bank: one row per (user, épreuve), at its first date.

    Left out: pairs rated 1 or 2, inactive accounts, and people who declined personalisation.
    """
    import numpy as np
    import pandas as pd

    from apps.recommender.ml.data_loader import Interactions

    shared = Interaction.objects.filter(
        user__is_active=True, user__personnalisation=True, epreuve__statut=Statut.PUBLIEE
    )
    rows = (
        positive_pairs(shared)
        .annotate(first=Min("date"))
        .order_by("user_id", "epreuve_id")
        .values_list("user_id", "epreuve_id", "total", "first")
    )
    pairs = pd.DataFrame.from_records(
        rows.iterator(chunk_size=10_000), columns=["user", "epreuve", "weight", "first"]
    )
    seconds = pd.to_datetime(pairs["first"], utc=True).dt.as_unit("s").astype("int64")
    return Interactions(
        user_ids=pairs["user"].to_numpy("int64"),
        item_ids=pairs["epreuve"].to_numpy("int64"),
        weights=pairs["weight"].to_numpy("float32"),
        timestamps=np.asarray(seconds, np.int64),
    )


def catalogue_texts() -> tuple[list[int], list[str], list[tuple[str, ...]]]:
    """Ids, normalised texts and metadata of every épreuve, as `ContentIndex.fit` takes them."""
    ids: list[int] = []
    texts: list[str] = []
    categories: list[tuple[str, ...]] = []
    for pk, text, matiere, filiere, niveau, kind in Epreuve.objects.order_by("pk").values_list(
        "pk", "texte_recherche", "matiere__code", "filiere__code", "niveau", "type_epreuve"
    ):
        ids.append(pk)
        texts.append(text)
        categories.append(
            (f"matiere={matiere}", f"filiere={filiere}", f"niveau={niveau}", f"type={kind}")
        )
    return ids, texts, categories
