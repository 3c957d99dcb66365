"""Reads of one model, chainable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Q

from apps.core.text import normalise

if TYPE_CHECKING:
    from apps.core.models import Commentaire, Epreuve, User  # noqa: F401


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
        """All words must be found, without regard to accents, case and ligatures."""
        queryset = self
        for word in normalise(search).split():
            queryset = queryset.filter(texte_recherche__contains=word)
        return queryset


class CommentaireQuerySet(models.QuerySet["Commentaire"]):
    def visible_to(self, user: User | AnonymousUser) -> CommentaireQuerySet:
        return self if user.is_staff else self.filter(statut="visible")
