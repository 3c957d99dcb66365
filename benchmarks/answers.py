"""What the log of answers costs one PostgreSQL: its size, its statistics, its purge.

    python -m benchmarks.answers            90 days of 10,000 answers of ten épreuves

Answers are spread over 2,000 students, 9 versions and 3 mixes of sources; one in four is clicked.
"""

import argparse
import json
import sys
from contextlib import ExitStack

from tests.reliability.servers import Redis, folder, postgres, production, running

READERS = """
from apps.core.models import User
User.objects.bulk_create(User(username=f"lecteur{n}") for n in range(2000))
"""
FILL = """
insert into recommender_reponseservie
    (id, user_id, date, genre, version_modele, epreuves, sources, clics)
select gen_random_uuid(), (select min(id) from core_user) + floor(random() * 2000),
    now() - random() * interval '{days} days',
    case when random() < .7 then 'personnalisee' else 'similaire' end,
    '2026112' || n % 9 || '-171333-hybrid',
    (select jsonb_agg(floor(random() * 10000)::int) from generate_series(1, 10) k where k > -n),
    case n % 3 when 0 then repeat('ncf ', 10) when 1 then repeat('ncf contenu ', 5)
        else repeat('profil ', 5) || repeat('populaires ', 5) end,
    case when random() < .75 then '' else (1 + floor(random() * 10))::text end
from generate_series(1, {rows}) n
"""
SIZES = """
select pg_relation_size('recommender_reponseservie'),
    pg_total_relation_size('recommender_reponseservie')
"""
TIMED = """
import datetime as dt, json, time
from django.utils import timezone
from apps.core.models import User
from apps.recommender.models import ReponseServie
from apps.recommender.services import answers
from apps.recommender.services.online_quality import OnlineQuality, lines
from apps.recommender.ml.proportion import wilson
wilson(1, 2)
figures = {}

def timed(name, work):
    start = time.perf_counter()
    work()
    figures[name] = round(time.perf_counter() - start, 3)

for days in (1, 30, 90):
    since = timezone.now() - dt.timedelta(days=days)
    timed(f"{days}_days_s", lambda: OnlineQuality(since))
quality = OnlineQuality(since)
timed("intervals_s", lambda: lines(quality, ["genre", "version", "source"]))
timed("purge_one_day_s", lambda: answers.purge_answers(timezone.now() + dt.timedelta(days=1)))
user = User.objects.get(username="lecteur7")
timed("erase_one_person_s", lambda: ReponseServie.objects.filter(user=user).delete())
print(json.dumps(figures))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.answers", description="Mesure le journal des réponses."
    )
    parser.add_argument("--days", type=int, default=90, help="défaut : %(default)s")
    parser.add_argument("--daily", type=int, default=10_000, help="défaut : %(default)s")
    options = parser.parse_args()
    rows = options.days * options.daily
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        database = stack.enter_context(postgres(place))
        redis = stack.enter_context(running(Redis(place)))
        bank = stack.enter_context(production(place, database, redis))
        bank.manage("migrate", "--verbosity=0")
        bank.python(READERS)
        bank.sql(FILL.format(rows=rows, days=options.days))
        bank.sql("vacuum analyze recommender_reponseservie")
        ((table, total),) = bank.sql(SIZES)
        figures = {
            "rows": rows,
            "table_mb": round(table / 1e6),
            "with_indexes_mb": round(total / 1e6),
            "bytes_a_row": round(total / rows),
            **json.loads(bank.python(TIMED)),
        }
    for name, value in figures.items():
        print(f"{name:<24} {value}", file=sys.stderr)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
