"""What to show a student next: the model's choice, then a named chain of fallbacks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import cache, caches
from django.db.models import Q

from apps.core.models import Epreuve, User
from apps.core.selectors import most_popular, popularity
from apps.recommender import model_store
from apps.recommender.services.catalogue import catalogue_generation

if TYPE_CHECKING:
    from apps.core.querysets import EpreuveQuerySet
    from apps.recommender.ml.predictor import Predictor
    from apps.recommender.model_store import Serving

# Kept per student, before what they saw is taken away.
CANDIDATES = 200
# The counters that an answer shows may be twice as old; nothing else in it ages.
ANSWER_SECONDS = 30
CACHE_FORMAT = 1

SOURCES = NCF, CONTENU, PROFIL, POPULAIRES, RECENTES = (
    "ncf",
    "contenu",
    "profil",
    "populaires",
    "recentes",
)

# Épreuves with their scores, best first.
Ranking = list[tuple[int, float]]


@dataclass(frozen=True)
class Recommendation:
    rang: int
    score: float
    source: str
    epreuve: Epreuve


@dataclass(frozen=True)
class Answer:
    recommendations: list[Recommendation]
    version: str | None
    cached: bool

    @property
    def source(self) -> str | None:
        return self.recommendations[0].source if self.recommendations else None


def remembered(user: User, asked: str, make: Callable[[Serving], dict[str, Any]]) -> dict[str, Any]:
    """What this person was answered to the same query string, or else what `make` answers.

    Kept by all processes, and by this one: asking the others takes as long as the rest of the hit.
    The key is read before the answer is made: what is kept is never older than its name says.
    """
    serving = model_store.active_model()
    generation = catalogue_generation()
    profile = f"{user.filiere_id}:{user.niveau}:{user.personnalisation}"
    question = hashlib.sha256(f"{profile}?{asked}".encode(errors="replace")).hexdigest()
    key = (
        f"reco:{CACHE_FORMAT}:reponse:{serving.version}:{generation}"
        f":{user.pk}:{user.version_historique}:{question}"
    )
    own = caches["processus"]
    answer: dict[str, Any] | None = own.get(key)
    if answer is None:
        answer = cache.get(key)
        if answer is None:
            answer = make(serving)
            cache.set(key, answer | {"depuis_cache": True}, ANSWER_SECONDS)
        own.set(key, answer | {"depuis_cache": True}, ANSWER_SECONDS)
    return answer


def personalized(
    user: User,
    serving: Serving,
    *,
    top_k: int,
    exclude_seen: bool = True,
    filters: dict[str, Any] | None = None,
) -> Answer:
    """The model's best unseen épreuves, filled up by popularity and date; never padded."""
    allowed = (
        Epreuve.objects.published()
        .exclude(depose_par=user)
        .filtered(not_seen_by=user if exclude_seen else None, **(filters or {}))
    )
    predictor = serving.predictor if user.personnalisation else None
    chosen = _Chosen(allowed, top_k)
    cached = False
    if predictor and predictor.knows_user(user.pk):
        ranking, cached = _candidates(
            f"personalized:{user.pk}", predictor, lambda: predictor.user_scores(user.pk)
        )
        chosen.add(NCF, ranking)
        if chosen.wanting and (filters or len(ranking) == CANDIDATES):
            # Filters or a long history ate the candidates: rank the whole catalogue again.
            chosen.add(NCF, _ranking(*predictor.user_scores(user.pk)))
            cached = False
    chosen.fall_back(user)
    return chosen.answer(serving.version, cached=cached)


def similar(epreuve: Epreuve, *, top_k: int) -> Answer:
    """Épreuves that the same students take up, or, for one the model never met, that read alike."""
    serving = model_store.active_model()
    chosen = _Chosen(Epreuve.objects.published().exclude(pk=epreuve.pk), top_k)
    predictor = serving.predictor
    cached = False
    if predictor and predictor.knows_item(epreuve.pk):
        ranking, cached = _candidates(
            f"similar:{epreuve.pk}", predictor, lambda: predictor.similar_items(epreuve.pk)
        )
        chosen.add(NCF, _alike(ranking))
    if chosen.wanting:
        index = model_store.content_index(knowing=epreuve.pk)
        chosen.add(CONTENU, _alike(_ranking(*index.similar(epreuve.pk))))
        cached = False
    return chosen.answer(serving.version, cached=cached)


class _Chosen:
    """The answer being filled, source by source: no repeat, scores that only go down."""

    def __init__(self, allowed: EpreuveQuerySet, top_k: int) -> None:
        self.allowed = allowed
        self.top_k = top_k
        self.rows: dict[int, tuple[float, str]] = {}

    @property
    def wanting(self) -> int:
        return self.top_k - len(self.rows)

    def add(self, source: str, ranking: Ranking) -> None:
        """Take the best allowed ones, their scores scaled below the last one taken before."""
        if not self.wanting:
            return
        ceiling = min((score for score, _ in self.rows.values()), default=1.0)
        allowed = self._allowed_among([pk for pk, _ in ranking])
        for pk, score in ranking:
            if pk in allowed and pk not in self.rows:
                self.rows[pk] = (score * ceiling, source)
                if not self.wanting:
                    return

    def _allowed_among(self, ids: list[int]) -> set[int]:
        # Few candidates are asked for by name; a whole catalogue would overflow the query.
        among = self.allowed.filter(pk__in=ids) if len(ids) <= CANDIDATES else self.allowed
        return set(among.values_list("pk", flat=True))

    def fall_back(self, user: User) -> None:
        if not self.wanting:
            return
        popular = _popular_ids()
        if user.filiere_id and user.niveau:
            theirs_or_common = Q(filiere=user.filiere_id) | Q(filiere=None)
            alike = self.allowed.filter(theirs_or_common, niveau=user.niveau)
            theirs = set(alike.values_list("pk", flat=True))
            self.add(PROFIL, _by_rank([pk for pk in popular if pk in theirs]))
        self.add(POPULAIRES, _by_rank(popular))
        if self.wanting:
            recent = self.allowed.exclude(pk__in=self.rows).order_by("-date_publication", "-pk")
            latest = list(recent.values_list("pk", flat=True)[: self.wanting])
            self.add(RECENTES, _by_rank(latest))

    def answer(self, version: str | None, *, cached: bool) -> Answer:
        epreuves = Epreuve.objects.with_names().in_bulk(list(self.rows))
        still_there = [(pk, row) for pk, row in self.rows.items() if pk in epreuves]
        recommendations = [
            Recommendation(rang, round(score, 6), source, epreuves[pk])
            for rang, (pk, (score, source)) in enumerate(still_there, start=1)
        ]
        return Answer(recommendations, version, cached)


def _alike(ranking: Ranking) -> Ranking:
    """Without those that have nothing in common: they would only fill the page."""
    return [(pk, score) for pk, score in ranking if score > 0]


def _popular_ids() -> list[int]:
    """The most popular first, counted once a minute: it reads every interaction there is."""
    key = f"reco:{CACHE_FORMAT}:populaires:{time.time() // 60:.0f}"
    ids: list[int] | None = cache.get(key)
    if ids is None:
        ids = most_popular(popularity())
        cache.set(key, ids, 60)
    return ids


def _by_rank(ids: list[int]) -> Ranking:
    """Where the order is all there is to say, the score says it."""
    return [(pk, 1 / rank) for rank, pk in enumerate(ids, start=1)]


def _candidates(
    what: str, predictor: Predictor, scores: Callable[[], tuple[Iterable[int], Iterable[float]]]
) -> tuple[Ranking, bool]:
    """The best of the published catalogue, from the cache where it is there; was it?"""
    key = f"reco:{CACHE_FORMAT}:{predictor.version}:{catalogue_generation()}:{what}"
    ranking: Ranking | None = cache.get(key)
    if ranking is not None:
        return ranking, True
    published = set(Epreuve.objects.published().values_list("pk", flat=True))
    best = _ranking(*scores())
    ranking = [(pk, score) for pk, score in best if pk in published][:CANDIDATES]
    cache.set(key, ranking, settings.RECOMMANDATIONS_CACHE_SECONDES)
    return ranking, False


def _ranking(ids: Iterable[int], scores: Iterable[float]) -> Ranking:
    pairs = ((int(pk), float(score)) for pk, score in zip(ids, scores, strict=True))
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
