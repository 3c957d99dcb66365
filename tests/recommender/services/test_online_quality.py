import datetime as dt

import pytest
from django.utils import timezone

from apps.recommender.ml.proportion import wilson
from apps.recommender.models import ReponseServie
from apps.recommender.services.online_quality import OnlineQuality, Rate
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db

STATS = "/api/recommendations/stats/"


def answered(user, sources, clics="", *, days=0, version="v1", genre="personnalisee"):
    ReponseServie.objects.create(
        user=user,
        genre=genre,
        version_modele=version,
        epreuves=[*range(len(sources.split()))],
        sources=sources,
        clics=clics,
        date=timezone.now() - dt.timedelta(days=days, minutes=1),
    )


def counted(*names):
    quality = OnlineQuality(timezone.now() - dt.timedelta(days=30))
    return {key: (rate.montrees, rate.cliquees) for key, rate in quality.by(*names).items()}


@pytest.mark.parametrize(
    ("clicked", "shown", "low", "high"),
    # Brown, Cai & DasGupta 2001, and by hand: (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²))/(1 + z²/n).
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_s_interval(clicked, shown, low, high):
    assert wilson(clicked, shown) == pytest.approx((low, high), abs=1e-4)


def test_each_epreuve_shown_is_counted_under_its_own_source_and_rank(awa, koffi):
    answered(awa, "ncf ncf contenu", "1 3")
    answered(koffi, "ncf ncf contenu", "3")
    answered(koffi, "profil", genre="similaire", version="")
    assert counted("source") == {("ncf",): (4, 1), ("contenu",): (2, 2), ("profil",): (1, 0)}
    assert counted("genre", "rang") == {
        ("personnalisee", 1): (2, 1),
        ("personnalisee", 2): (2, 0),
        ("personnalisee", 3): (2, 2),
        ("similaire", 1): (1, 0),
    }
    assert counted("version") == {("",): (1, 0), ("v1",): (6, 3)}


def test_administrators_and_older_answers_are_left_out(awa, rachidi):
    answered(awa, "ncf", "1")
    answered(rachidi, "ncf", "1")
    answered(awa, "ncf", "1", days=31)
    assert counted("source") == {("ncf",): (1, 1)}


def test_a_period_ends_where_it_is_told_to(awa):
    answered(awa, "ncf", days=2)
    answered(awa, "profil")
    now = timezone.now()
    quality = OnlineQuality(now - dt.timedelta(days=3), now - dt.timedelta(days=1))
    assert list(quality.by("source")) == [("ncf",)]


def test_one_rate_beats_another_only_when_the_intervals_are_apart():
    good, bad, few = Rate(1000, 200), Rate(1000, 100), Rate(100, 90)
    assert good.beats(bad)
    assert not bad.beats(good)
    assert not good.beats(Rate(1000, 180))
    assert not few.beats(bad)  # Apart, of too few.
    assert (Rate(0, 0).taux, Rate(0, 0).intervalle, Rate(0, 0).beats(bad)) == (None, None, False)


def test_statistics_give_clicks_by_source_and_versions_to_administrators_only(api, awa, rachidi):
    answered(awa, "ncf profil", "2")
    for who in (awa, rachidi):
        clicks = api(who).get(STATS).json()["clics"]
        assert clicks["par_source"][1] == {
            "genre": "personnalisee",
            "source": "profil",
            "montrees": 1,
            "cliquees": 1,
            "taux": 1.0,
            "intervalle": [0.2065, 1.0],
        }
        assert [line["rang"] for line in clicks["par_rang"]] == [1, 2]
        assert ("par_version" in clicks) is who.is_staff
    assert {line["version"] for line in clicks["par_version"]} == {"v1"}


def test_the_statistics_of_many_answers_are_one_query(django_assert_num_queries):
    for user in UserFactory.create_batch(5):
        answered(user, "ncf ncf", "1")
    with django_assert_num_queries(1):
        assert counted("source") == {("ncf",): (10, 5)}
