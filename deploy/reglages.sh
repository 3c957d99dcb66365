# À sourcer : ce que pg_dump, psql et cp doivent savoir, lu comme l'application le lit.
reglages=$(venv/bin/python manage.py shell --no-imports --command '
from shlex import quote
from django.conf import settings

base = settings.DATABASES["default"]
names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD"}
values = {name: base[key] for name, key in {**names, "PGDATABASE": "NAME"}.items()}
values |= {"MEDIA_ROOT": settings.MEDIA_ROOT, "ML_MODELS_DIR": settings.ML_MODELS_DIR}
for name, value in values.items():
    print(f"export {name}={quote(str(value))}")
')
eval "$reglages"
