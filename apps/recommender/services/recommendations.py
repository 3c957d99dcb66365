"""What to show a student next: the model's choice, then a named chain of fallbacks."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from django.conf import settings
from django.core.cache import cache, caches
from django.db.models import Q
from django.utils import timezone

from apps.core.models import Epreuve, User
from apps.core.selectors import current_popularity, most_popular
from apps.recommender import model_store, selectors
from apps.recommender.ml.variety import POOL
from apps.recommender.services.catalogue import catalogue_generation

if TYPE_CHECKING:
    from apps.core.querysets import EpreuveQuerySet
    from apps.recommender.ml.data_loader import FloatArray
    from apps.recommender.ml.predictor import Newcomers, Past, Predictor
    from apps.recommender.model_store import Serving

# Kept per student, before what they saw is taken away.
CANDIDATES = 200
# The counters that an answer shows may be twice as old; nothing else in it ages.
ANSWER_SECONDS = 30
CACHE_FORMAT = 5

SOURCES = NCF, HISTORIQUE, CONTENU, PROFIL, POPULAIRES, RECENTES = (
    "ncf",
    "historique",
    "contenu",
    "profil",
    "populaires",
    "recentes",
)

# Why the model did not fill an answer alone.
REPLIS = (
    AUCUN_MODELE,
    MODELE_DEGRADE,
    PERSONNALISATION_REFUSEE,
    SANS_HISTORIQUE,
    EPREUVE_INCONNUE,
    FILTRES,
    CANDIDATS_EPUISES,
) = (
    "aucun_modele",
    "modele_degrade",
    "personnalisation_refusee",
    "sans_historique",
    "epreuve_inconnue",
    "filtres",
    "candidats_epuises",
)

# Of each recommendation, at most so many épreuves of the history are named as reasons.
REASONS = 3
DECIMALS = 6


class Candidate(NamedTuple):
    """An épreuve, its score and where that comes from.

    raisons: épreuves of the history and what each adds, None until somebody asks.
    """

    pk: int
    score: float
    source: str
    raisons: tuple[tuple[int, float], ...] | None = None


# Best first.
Ranking = list[Candidate]


@dataclass(frozen=True)
class Reason:
    """An épreuve of the student's history: without it, the score would be lower by `contribution`.

    geste: the most telling thing they did with it. rang_sans: the rank that the recommendation
    would have, None where it would not come from the model; it says so only where `explained`.
    """

    epreuve: Epreuve
    contribution: float
    geste: str = ""
    rang_sans: int | None = None
    explained: bool = False


@dataclass(frozen=True)
class Recommendation:
    rang: int
    score: float
    source: str
    epreuve: Epreuve
    raisons: list[Reason]


@dataclass(frozen=True)
class Answer:
    recommendations: list[Recommendation]
    version: str | None
    cached: bool
    repli: str | None

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
        f":{user.empreinte}:{user.version_historique}:{question}"
    )
    own = caches["processus"]
    kept: _Kept | None = own.get(key)
    if not _holds(kept):
        kept = cache.get(key)
        if not _holds(kept):
            until = Epreuve.objects.published().next_corrige()
            answer = make(serving)
            kept = answer | {"depuis_cache": True}, until
            cache.set(key, kept, ANSWER_SECONDS)
            own.set(key, kept, ANSWER_SECONDS)
            return answer
        own.set(key, kept, ANSWER_SECONDS)
    return kept[0]


# An answer, and when a corrigé comes out of its embargo: it would still say that there is none.
_Kept = tuple[dict[str, Any], dt.datetime | None]


def _holds(kept: _Kept | None) -> TypeGuard[_Kept]:
    return kept is not None and (kept[1] is None or timezone.now() < kept[1])


def personalized(
    user: User,
    serving: Serving,
    *,
    top_k: int,
    exclude_seen: bool = True,
    explain: bool = False,
    variety: float = 0.0,
    filters: dict[str, Any] | None = None,
    keep: bool = True,
) -> Answer:
    """The model's best unseen épreuves, filled up by popularity and date; never padded.

    keep: leave the candidates in the cache for the next time.
    """
    open_to = Epreuve.objects.published().exclude(depose_par=user).filtered(**(filters or {}))
    allowed = open_to.filtered(not_seen_by=user) if exclude_seen else open_to
    predictor = serving.predictor if user.personnalisation else None
    chosen = _Chosen(allowed, top_k)
    cached = False
    lack = _lack_of_model(serving) or PERSONNALISATION_REFUSEE
    if predictor:
        personal = _Personal(user, predictor, variety)
        lack = personal.lack or (FILTRES if filters else CANDIDATS_EPUISES)
        ranking, cached = personal.candidates(keep=keep)
        best = chosen.allowed_of(ranking)
        if len(best) < personal.pool(top_k) and (filters or len(ranking) == CANDIDATES):
            # Filters or a long history ate the candidates: rank the whole catalogue again.
            best, cached = chosen.allowed_of(personal.ranking(personal.past)), False
        chosen.take(personal.varied(best, top_k))
        chosen.explained_by(personal)
    before = len(chosen.rows)
    chosen.fall_back(user)
    repli = lack if chosen.completed(before) else None
    answer = chosen.answer(serving.version, cached=cached, repli=repli)
    if predictor:
        return _with_gestures(
            answer, user, _Without(personal, top_k, allowed, open_to) if explain else None
        )
    return answer


def preferred(user: User, among: EpreuveQuerySet, *, top_k: int) -> list[int]:
    """Ids of the best of these published épreuves, in the order `personalized` would have."""
    chosen = _Chosen(among, top_k)
    predictor = model_store.active_model().predictor if user.personnalisation else None
    if predictor:
        personal = _Personal(user, predictor)
        chosen.add(personal.ranking(personal.past))
    chosen.fall_back(user)
    return list(chosen.rows)


class _Personal:
    """What the model says to one student."""

    def __init__(self, user: User, predictor: Predictor, variety: float = 0.0) -> None:
        self.user, self.predictor, self.variety = user, predictor, variety
        self.past = selectors.past_of(user)
        self.source = NCF if predictor.knows_user(user.pk) else HISTORIQUE

    @property
    def lack(self) -> str | None:
        return None if self.predictor.can_score(self.user.pk, self.past) else SANS_HISTORIQUE

    @cached_property
    def newcomers(self) -> Newcomers:
        """The same for all that one answer says, its reasons included."""
        return model_store.newcomers(self.predictor)

    def candidates(self, *, keep: bool) -> tuple[Ranking, bool]:
        """The best of the published catalogue with their reasons; were they in the cache?"""
        if self.lack:
            return [], False
        past = self.past
        stamp = hashlib.sha256(repr(sorted(past.traits.items())).encode())
        for column in (past.item_ids, past.weights, past.timestamps):
            stamp.update(column.tobytes())
        what = f"personalized:{self.user.empreinte}:{stamp.hexdigest()}"
        return _candidates(
            what, self.predictor, lambda: self.ranking(past), self.with_reasons, keep=keep
        )

    def ranking(self, past: Past) -> Ranking:
        """Every épreuve that the model can score, for a student of that past."""
        if not self.predictor.can_score(self.user.pk, past):
            return []
        ids, scores = self.predictor.user_scores(self.user.pk, past, self.newcomers)
        new = set(self.newcomers.item_ids.tolist())
        source = {pk: CONTENU if pk in new else self.source for pk in ids.tolist()}
        pairs = zip(ids.tolist(), scores.tolist(), strict=True)
        return _ranked(Candidate(pk, score, source[pk]) for pk, score in pairs)

    def pool(self, top_k: int) -> int:
        """How many of the best an answer is chosen from."""
        return max(top_k, POOL) if self.variety else top_k

    def varied(self, ranking: Ranking, top_k: int) -> Ranking:
        """First those of the POOL best that differ, as many as are shown, then the others."""
        if not self.variety or not ranking:
            return ranking
        best = [one.pk for one in ranking[:POOL]]
        scores = [one.score for one in ranking[:POOL]]
        shown = set(self.predictor.varied(best, scores, self.variety, top_k, self.newcomers))
        return sorted(ranking, key=lambda one: one.pk not in shown)  # stable

    def with_reasons(self, candidates: Ranking) -> Ranking:
        """Each with what adds most to its score: at most REASONS épreuves of the history."""
        unexplained = [one for one in candidates if one.raisons is None]
        if not self.predictor.explains or not unexplained:
            return candidates
        ids, added = self.predictor.contributions(self.past, self.newcomers)
        column = {pk: place for place, pk in enumerate(ids.tolist())}
        return [
            one._replace(raisons=self._best(one.pk, added[:, column[one.pk]]))
            if one.raisons is None and one.pk in column
            else one
            for one in candidates
        ]

    def _best(self, epreuve: int, added: FloatArray) -> tuple[tuple[int, float], ...]:
        """Never the épreuve itself, nor what adds nothing that the answer would show."""
        amounts = (round(amount, DECIMALS) for amount in added.tolist())
        pairs = zip(self.past.item_ids.tolist(), amounts, strict=True)
        reasons = [(pk, amount) for pk, amount in pairs if amount > 0 and pk != epreuve]
        return tuple(sorted(reasons, key=lambda pair: (-pair[1], pair[0]))[:REASONS])


def similar(epreuve: Epreuve, *, top_k: int) -> Answer:
    """Épreuves that the same students take up, or, for one the model never met, that read alike."""
    serving = model_store.active_model()
    chosen = _Chosen(Epreuve.objects.published().exclude(pk=epreuve.pk), top_k)
    predictor = serving.predictor
    cached = False
    lack = _lack_of_model(serving) or EPREUVE_INCONNUE
    if predictor and predictor.knows_item(epreuve.pk):
        lack = CANDIDATS_EPUISES
        ranking, cached = _candidates(
            f"similar:{epreuve.pk}",
            predictor,
            lambda: _neighbours(predictor, epreuve.pk),
        )
        chosen.add(ranking)
    before = len(chosen.rows)
    if chosen.wanting:
        index = model_store.content_index(knowing=epreuve.pk)
        chosen.add(_alike(*index.similar(epreuve.pk), lambda pk: CONTENU))
        cached = False
    repli = lack if chosen.completed(before) else None
    return chosen.answer(serving.version, cached=cached, repli=repli)


def _lack_of_model(serving: Serving) -> str | None:
    if serving.predictor:
        return None
    return MODELE_DEGRADE if serving.degraded else AUCUN_MODELE


class _Without:
    """Where an épreuve would stand had the student never touched another one."""

    def __init__(
        self, personal: _Personal, top_k: int, allowed: EpreuveQuerySet, open_to: EpreuveQuerySet
    ) -> None:
        """open_to: those allowed, and those left out of them only for having been seen."""
        self.personal, self.top_k = personal, top_k
        self.allowed = set(allowed.values_list("pk", flat=True))
        past = personal.past.item_ids.tolist()
        self.back = set(open_to.filter(pk__in=past).values_list("pk", flat=True))
        self.kept: dict[int, dict[int, int]] = {}

    def rank(self, epreuve: int, reason: int) -> int | None:
        if reason not in self.kept:
            ranking = self.personal.ranking(self.personal.past.without(reason))
            # Never touched, it would be there to recommend, too.
            open_to = self.allowed | ({reason} & self.back)
            left = [one for one in ranking if one.pk in open_to]
            shown = self.personal.varied(left, self.top_k)
            self.kept[reason] = {one.pk: rank for rank, one in enumerate(shown, start=1)}
        return self.kept[reason].get(epreuve)


def _with_gestures(answer: Answer, user: User, without: _Without | None) -> Answer:
    """Each reason with what the student did, and, where it is asked for, the rank without it."""
    named = {reason.epreuve.pk for one in answer.recommendations for reason in one.raisons}
    gestures = selectors.strongest_gestures(user, named)
    explained = [
        replace(
            one,
            raisons=[
                replace(
                    reason,
                    geste=gestures[reason.epreuve.pk],
                    rang_sans=without.rank(one.epreuve.pk, reason.epreuve.pk) if without else None,
                    explained=without is not None,
                )
                for reason in one.raisons
                if reason.epreuve.pk in gestures  # else withdrawn since it was read
            ],
        )
        for one in answer.recommendations
    ]
    return replace(answer, recommendations=explained)


class _Chosen:
    """The answer being filled, source by source: no repeat, scores that only go down."""

    def __init__(self, allowed: EpreuveQuerySet, top_k: int) -> None:
        self.allowed = allowed
        self.top_k = top_k
        self.rows: dict[int, Candidate] = {}

    @property
    def wanting(self) -> int:
        return self.top_k - len(self.rows)

    def add(self, ranking: Ranking) -> None:
        """Take the best allowed ones."""
        if self.wanting:
            self.take(self.allowed_of(ranking))

    def take(self, ranking: Ranking) -> None:
        """Of these, all allowed, the best; their scores scaled below the last one taken before."""
        ceiling = min((row.score for row in self.rows.values()), default=1.0)
        new = [candidate for candidate in ranking if candidate.pk not in self.rows]
        for candidate in new[: self.wanting]:
            self.rows[candidate.pk] = candidate._replace(score=candidate.score * ceiling)

    def explained_by(self, personal: _Personal) -> None:
        """Reasons for those that came without."""
        rows = personal.with_reasons(list(self.rows.values()))
        self.rows = {row.pk: row for row in rows}

    def allowed_of(self, ranking: Ranking) -> Ranking:
        """Those that may be shown, in the same order."""
        ids = [candidate.pk for candidate in ranking]
        # Few candidates are asked for by name; a whole catalogue would overflow the query.
        among = self.allowed.filter(pk__in=ids) if len(ids) <= CANDIDATES else self.allowed
        allowed = set(among.values_list("pk", flat=True))
        return [candidate for candidate in ranking if candidate.pk in allowed]

    def completed(self, before: int) -> bool:
        """Has anything been added to the model's own, `before`, or had it none?"""
        return not before or len(self.rows) > before

    def fall_back(self, user: User) -> None:
        if not self.wanting:
            return
        popular = _popular_ids()
        if user.filiere_id and user.niveau:
            theirs_or_common = Q(filiere=user.filiere_id) | Q(filiere=None)
            alike = self.allowed.filter(theirs_or_common, niveau=user.niveau)
            theirs = set(alike.values_list("pk", flat=True))
            self.add(_by_rank(PROFIL, [pk for pk in popular if pk in theirs]))
        self.add(_by_rank(POPULAIRES, popular))
        if self.wanting:
            recent = self.allowed.exclude(pk__in=self.rows).order_by("-date_publication", "-pk")
            latest = list(recent.values_list("pk", flat=True)[: self.wanting])
            self.add(_by_rank(RECENTES, latest))

    def answer(self, version: str | None, *, cached: bool, repli: str | None) -> Answer:
        """The chosen with their épreuves, and those of their reasons."""
        reasons = {pk for row in self.rows.values() for pk, _ in row.raisons or ()}
        epreuves = Epreuve.objects.with_names().in_bulk([*self.rows, *reasons])
        still_there = [row for row in self.rows.values() if row.pk in epreuves]
        recommendations = [
            Recommendation(
                rang,
                round(row.score, DECIMALS),
                row.source,
                epreuves[row.pk],
                [Reason(epreuves[pk], added) for pk, added in row.raisons or () if pk in epreuves],
            )
            for rang, row in enumerate(still_there, start=1)
        ]
        return Answer(recommendations, version, cached, repli)


def _popular_ids() -> list[int]:
    """The most popular first, counted once a minute: it reads every interaction there is."""
    key = f"reco:{CACHE_FORMAT}:populaires:{time.time() // 60:.0f}"
    ids: list[int] | None = cache.get(key)
    if ids is None:
        ids = most_popular(current_popularity())
        cache.set(key, ids, 60)
    return ids


def _by_rank(source: str, ids: list[int]) -> Ranking:
    """Where the order is all there is to say, the score says it."""
    return [Candidate(pk, 1 / rank, source) for rank, pk in enumerate(ids, start=1)]


def _candidates(
    what: str,
    predictor: Predictor,
    rank: Callable[[], Ranking],
    finish: Callable[[Ranking], Ranking] = lambda ranking: ranking,
    *,
    keep: bool = True,
) -> tuple[Ranking, bool]:
    """The best of the published catalogue, from the cache where it is there; was it?"""
    key = f"reco:{CACHE_FORMAT}:{predictor.version}:{catalogue_generation()}:{what}"
    kept: list[tuple[Any, ...]] | None = cache.get(key)
    if kept is not None:
        return [Candidate(*row) for row in kept], True
    published = set(Epreuve.objects.published().values_list("pk", flat=True))
    best = [candidate for candidate in rank() if candidate.pk in published][:CANDIDATES]
    ranking = finish(best)
    if keep:
        kept = [tuple(candidate) for candidate in ranking]
        cache.set(key, kept, settings.RECOMMANDATIONS_CACHE_SECONDES)
    return ranking, False


def _neighbours(predictor: Predictor, pk: int) -> Ranking:
    """Of an épreuve that the model knows; those it never met are placed by what they say."""
    newcomers = model_store.newcomers(predictor)
    new = set(newcomers.item_ids.tolist())
    ids, likeness = predictor.similar_items(pk, newcomers)
    return _alike(ids, likeness, lambda other: CONTENU if other in new else NCF)


def _alike(ids: Iterable[int], scores: Iterable[float], source: Callable[[int], str]) -> Ranking:
    """Without those that have nothing in common: they would only fill the page."""
    pairs = ((int(pk), float(score)) for pk, score in zip(ids, scores, strict=True) if score > 0)
    return _ranked(Candidate(pk, score, source(pk)) for pk, score in pairs)


def _ranked(candidates: Iterable[Candidate]) -> Ranking:
    return sorted(candidates, key=lambda one: (-one.score, one.pk))
