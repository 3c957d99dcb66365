"""ORM rows -> NumPy arrays and ids: the only translator between the bank and `ml`."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Min, OuterRef, QuerySet, Subquery

from apps.core.feedback import DISLIKED_PERTINENCE
from apps.core.models import (
    Epreuve,
    Evaluation,
    Interaction,
    Role,
    Statut,
    TypeInteraction,
    User,
)
from apps.core.selectors import positive_pairs, standing
from apps.core.text import normalise
from apps.recommender.models import ActivationModele

if TYPE_CHECKING:
    from apps.recommender.ml.metadata import Metadata, Traits
    from apps.recommender.ml.predictor import Past

SLICE = 10_000  # rows in memory at once
_PUBLISHED = {"epreuve__statut": Statut.PUBLIEE}


def training_pairs(*, only: Sequence[int] | None = None) -> Iterator[tuple[int, int, int, int]]:
    """What people liked of the published bank: (user id, épreuve id, worth, first date in seconds).

    Left out: pairs rated 1 or 2, inactive accounts, and people who declined personalisation.
    Sorted by both ids; read in slices, as long as it is iterated over. only: of these users.
    """
    shared = _shared() if only is None else _shared().filter(user__in=only)
    with _reading():
        for user_id, epreuve_id, worth, first in _dated(shared).iterator(chunk_size=SLICE):
            yield user_id, epreuve_id, worth, int(first.timestamp())


def new_pairs(since: dt.datetime | None) -> int:
    """How many of these pairs have come since then; all of them where there is no then."""
    pairs = positive_pairs(_shared()).annotate(first=Min("date"))
    return (pairs.filter(first__gt=since) if since else pairs).count()


def _shared() -> QuerySet[Interaction]:
    return Interaction.objects.filter(
        user__is_active=True, user__personnalisation=True, **_PUBLISHED
    )


def _reading() -> AbstractContextManager[object]:
    """PostgreSQL's cursor lives in a transaction, or else a pooler may give it to another session.

    SQLite's needs none, and would lock out those who write.
    """
    return transaction.atomic() if connection.vendor == "postgresql" else nullcontext()


def left_out() -> dict[str, int]:
    """How much of the bank `training_pairs` leaves out, by reason."""
    inactive = User.objects.filter(is_active=False)
    declined = User.objects.filter(is_active=True, personnalisation=False)
    hidden = Epreuve.objects.exclude(statut=Statut.PUBLIEE)
    disliked = Evaluation.objects.filter(note_pertinence__lte=DISLIKED_PERTINENCE)
    return {
        "comptes_inactifs": inactive.count(),
        "personnalisation_refusee": declined.count(),
        "epreuves_non_publiees": hidden.count(),
        "paires_mal_notees": disliked.count(),
    }


def activations() -> QuerySet[ActivationModele]:
    """The journal, newest first; `jusqu_a` is when the next one took its place, if one did."""
    following = ActivationModele.objects.filter(pk__gt=OuterRef("pk")).order_by("pk")
    rows = ActivationModele.objects.select_related("modele", "precedente", "active_par")
    return rows.annotate(jusqu_a=Subquery(following.values("active_le")[:1]))


def past_of(user: User) -> Past:
    """Who this person is and what they liked of the published bank, as `training_pairs` has it."""
    return _past(user, _dated(Interaction.objects.filter(user=user, **_PUBLISHED)))


def pasts_of(users: Sequence[User]) -> dict[int, Past]:
    """The same of many, in one query, by user id."""
    rows: dict[int, list[tuple[int, int, int, dt.datetime]]] = {user.pk: [] for user in users}
    for row in _dated(Interaction.objects.filter(user__in=users, **_PUBLISHED)):
        rows[row[0]].append(row)
    return {user.pk: _past(user, rows[user.pk]) for user in users}


def _past(user: User, rows: Iterable[tuple[int, int, int, dt.datetime]]) -> Past:
    import numpy as np

    from apps.recommender.ml.predictor import Past

    pairs = [(pk, worth, int(first.timestamp())) for _, pk, worth, first in rows]
    columns = np.array(pairs, np.int64).reshape(-1, 3).T
    traits = _student_traits(user.filiere.code if user.filiere else None, user.niveau)
    return Past(columns[0], columns[1].astype(np.float32), columns[2], traits)


def seen_by(users: Sequence[User]) -> dict[int, set[int]]:
    """The épreuves that each of these met, by user id: what is not recommended again."""
    seen: dict[int, set[int]] = {user.pk: set() for user in users}
    pairs = Interaction.objects.filter(user__in=users).order_by()
    for user_id, epreuve_id in pairs.values_list("user_id", "epreuve_id").distinct():
        seen[user_id].add(epreuve_id)
    return seen


def users_since(moment: dt.datetime, *, most: int) -> list[int]:
    """Who did something with the published bank after that, the first by id."""
    later = Interaction.objects.filter(
        date__gt=moment, user__is_active=True, user__personnalisation=True, **_PUBLISHED
    )
    return list(later.order_by("user_id").values_list("user_id", flat=True).distinct()[:most])


def students_drawn(n: int, *, seed: int) -> list[User]:
    """Among those who want recommendations of their own, so many; the same for the same seed."""
    wanting = User.objects.filter(role=Role.ETUDIANT, is_active=True, personnalisation=True)
    ids = list(wanting.order_by("pk").values_list("pk", flat=True))
    drawn = random.Random(seed).sample(ids, min(n, len(ids)))  # noqa: S311
    return list(User.objects.filter(pk__in=drawn).select_related("filiere").order_by("pk"))


def _dated(interactions: QuerySet[Interaction]) -> QuerySet[Interaction, Any]:
    """Rows (user_id, epreuve_id, worth, first date), one per pair."""
    pairs = positive_pairs(interactions).annotate(first=Min("date"))
    return pairs.order_by("user_id", "epreuve_id").values_list(
        "user_id", "epreuve_id", "total", "first"
    )


def strongest_gestures(user: User, epreuve_ids: set[int]) -> dict[int, str]:
    """Of each of these, the kind of interaction that says most of this person's liking."""
    done = standing(Interaction.objects.filter(user=user, epreuve__in=epreuve_ids))
    gestures: dict[int, str] = {}
    for pk, kind in done.values_list("epreuve_id", "type_interaction").distinct():
        if pk not in gestures or GESTURES.index(kind) < GESTURES.index(gestures[pk]):
            gestures[pk] = kind
    return gestures


# The most telling first.
GESTURES = (
    TypeInteraction.FAVORI,
    TypeInteraction.EVALUATION,
    TypeInteraction.TELECHARGEMENT,
    TypeInteraction.COMMENTAIRE,
    TypeInteraction.VUE,
)


def metadata() -> Metadata:
    """What is known of students and of the published épreuves, by id."""
    from apps.recommender.ml.metadata import Metadata

    students = User.objects.filter(role=Role.ETUDIANT).values_list("pk", "filiere__code", "niveau")
    catalogue = published_catalogue()
    return Metadata(
        users={pk: _student_traits(filiere, niveau) for pk, filiere, niveau in students},
        items=dict(zip(catalogue.ids, catalogue.traits, strict=True)),
        texts=dict(zip(catalogue.ids, catalogue.texts, strict=True)),
    )


def _student_traits(filiere: str | None, niveau: str) -> Traits:
    known = {"filiere": filiere, "niveau": niveau}
    return {name: (value,) for name, value in known.items() if value}


class Catalogue(NamedTuple):
    """The published épreuves: ids, normalised words, traits."""

    ids: list[int]
    texts: list[str]
    traits: list[Traits]


def published_catalogue() -> Catalogue:
    """What a model may know of each épreuve beside who took it."""
    names = {
        "matiere": "matiere__code",
        "filiere": "filiere__code",
        "niveau": "niveau",
        "type": "type_epreuve",
        "session": "session",
        "semestre": "semestre",
        "annee": "annee",
    }
    rows = Epreuve.objects.published().order_by("pk")
    ids: list[int] = []
    texts: list[str] = []
    traits: list[Traits] = []
    # Not `texte_recherche`, which names the teacher: a model keeps its words for good.
    words = ("titre", "description", "matiere__nom", "annee")
    for pk, titre, description, matiere, annee, *values in rows.values_list(
        "pk", *words, *names.values()
    ):
        ids.append(pk)
        texts.append(normalise(f"{titre} {description} {matiere} {annee or ''}"))
        # A field of a common épreuve that is empty is a value, too: it is for everybody.
        traits.append({name: (str(v or ""),) for name, v in zip(names, values, strict=True)})
    return Catalogue(ids, texts, traits)


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
