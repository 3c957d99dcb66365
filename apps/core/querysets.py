"""Reads of one model, chainable."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import (
    BooleanField,
    Case,
    Count,
    ExpressionWrapper,
    F,
    FloatField,
    IntegerField,
    Min,
    Q,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone

from apps.core.search import read_search

if TYPE_CHECKING:
    from apps.core.models import Commentaire, Epreuve, Evaluation, Interaction, User  # noqa: F401

# How many notes an épreuve needs for its own mean to weigh as much as the bank's.
PRIOR_WEIGHT = 5
_NOTES = {"note_difficulte": "somme_difficulte", "note_pertinence": "somme_pertinence"}


def _corrige_shown_to(user: User | AnonymousUser) -> Q:
    shown = ~Q(fichier_corrige="")
    if user.is_authenticated and user.is_staff:
        return shown
    is_out = Q(corrige_visible_le=None) | Q(corrige_visible_le__lte=timezone.now())
    return shown & (is_out | Q(depose_par=user) if user.is_authenticated else is_out)


class EpreuveQuerySet(models.QuerySet["Epreuve"]):
    def published(self) -> EpreuveQuerySet:
        return self.filter(statut="publiee")

    def visible_to(self, user: User | AnonymousUser) -> EpreuveQuerySet:
        """Published ones; one's own unless archived; everything for administrators."""
        if not user.is_authenticated:
            return self.published()
        if user.is_staff:
            return self
        return self.filter(
            Q(statut="publiee")
            | (Q(depose_par=user) & Q(statut__in=["brouillon", "soumise", "rejetee"]))
        )

    def matching(self, search: str) -> EpreuveQuerySet:
        """All words must be found, as apps/core/search.py reads them; sets `pertinence`."""
        if sought := read_search(search):
            return self.filter(sought.condition).alias(pertinence=sought.rank)
        # Cast: PostgreSQL takes a bare number for the rank of a column to sort by.
        unranked = self.alias(pertinence=Cast(Value(0), IntegerField()))
        return unranked.none() if search.strip() else unranked

    def filtered(
        self,
        *,
        search: str = "",
        not_seen_by: User | AnonymousUser | None = None,
        **conditions: Any,
    ) -> EpreuveQuerySet:
        """Narrow by what a query string may ask; `conditions` are lookups of the model."""
        queryset = self.matching(search).filter(**conditions)
        if not_seen_by is not None and not_seen_by.is_authenticated:
            queryset = queryset.exclude(interactions__user=not_seen_by)
        return queryset

    def with_corrige_for(self, user: User | AnonymousUser, corrige: bool = True) -> EpreuveQuerySet:
        """Those whose corrigé this person may have; with `corrige` false, all others."""
        shown = _corrige_shown_to(user)
        return self.filter(shown if corrige else ~shown)

    def with_corrige_flag(self, user: User | AnonymousUser) -> EpreuveQuerySet:
        """`avec_corrige`: may this person have it?"""
        shown = ExpressionWrapper(_corrige_shown_to(user), BooleanField())
        # Of an épreuve that nobody deposited any more, « is it mine? » is unknown.
        return self.annotate(avec_corrige=Coalesce(shown, Value(False)))

    def next_corrige(self) -> dt.datetime | None:
        """When the next embargo ends: an answer kept for later is not true beyond it."""
        coming = self.filter(corrige_visible_le__gt=timezone.now()).exclude(fichier_corrige="")
        soonest: dt.datetime | None = coming.aggregate(soonest=Min("corrige_visible_le"))["soonest"]
        return soonest

    def sorted_by(self, ordering: str) -> EpreuveQuerySet:
        """Ties by id; a missing value comes last in both directions, on every database."""
        if ordering == "pertinence":
            newest = F("date_publication").desc(nulls_last=True)
            return self.order_by(F("pertinence"), newest, "-id")
        name = ordering.removeprefix("-")
        queryset = self.with_notes() if name in _NOTES else self
        # Said only where it says something: PostgreSQL would leave the index of the column aside.
        nulls_last = name in _NOTES or self.model._meta.get_field(name).null or None
        if ordering.startswith("-"):
            return queryset.order_by(F(name).desc(nulls_last=nulls_last), "-id")
        return queryset.order_by(F(name).asc(nulls_last=nulls_last), "id")

    def recent(self) -> EpreuveQuerySet:
        return self.published().sorted_by("-date_publication")

    def favourites_of(self, user: User) -> EpreuveQuerySet:
        """The last one added first."""
        mine = self.published().filter(favoris__user=user)
        return mine.order_by("-favoris__date", "-favoris__id")

    def with_names(self) -> EpreuveQuerySet:
        """What every serializer of an épreuve shows, in the same query."""
        return self.select_related("matiere", "filiere", "enseignant", "depose_par").with_notes()

    def with_notes(self) -> EpreuveQuerySet:
        """With the shrunken means `note_difficulte` and `note_pertinence`; nothing without notes.

        (sum of the notes + PRIOR_WEIGHT x mean of the bank) / (number of notes + PRIOR_WEIGHT):
        a single 5 does not go before twenty 4s and 5s.
        """
        means = {note: self._shrunken_mean(total) for note, total in _NOTES.items()}
        return self.annotate(**means)

    def _shrunken_mean(self, total: str) -> Case:
        rated = self.model._default_manager.filter(nb_evaluations__gt=0).order_by()
        mean = Cast(Sum(total), FloatField()) / Sum("nb_evaluations")
        # One group of all rows: it depends on no row of the list, and is computed once for it.
        of_bank = rated.annotate(all=Value(1)).values("all").annotate(mean=mean).values("mean")
        shrunken = (F(total) + PRIOR_WEIGHT * Subquery(of_bank)) / (
            F("nb_evaluations") + float(PRIOR_WEIGHT)
        )
        return Case(When(nb_evaluations__gt=0, then=shrunken), output_field=FloatField())


Row = TypeVar("Row", "Interaction", "Evaluation")


class UseQuerySet(models.QuerySet[Row]):
    def counted(self) -> UseQuerySet[Row]:
        """What makes the statistics: not what moderators did, nor authors with what is theirs."""
        return self.filter(user__is_staff=False).exclude(epreuve__depose_par=F("user"))


class CommentaireQuerySet(models.QuerySet["Commentaire"]):
    def visible_to(self, user: User | AnonymousUser) -> CommentaireQuerySet:
        """Whoever wrote what is masked still sees it; what is deleted is for moderators."""
        if user.is_staff:
            return self
        return self.filter(Q(statut="visible") | Q(statut="masque", auteur=user.pk))

    def visible(self) -> CommentaireQuerySet:
        return self.filter(statut="visible")

    def with_replies(self) -> CommentaireQuerySet:
        """With `nb_reponses`; oldest first, which grouping would otherwise forget."""
        replies = Count("reponses", filter=Q(reponses__statut="visible"))
        rows = self.select_related("auteur").annotate(nb_reponses=replies)
        return rows.order_by("date_creation", "id")

    def with_reports(self) -> CommentaireQuerySet:
        """With `nb_signalements`, those that wait for a moderator."""
        return self.annotate(
            nb_signalements=Count("signalements", filter=Q(signalements__traite=False))
        )
