SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-run run test test-services test-servers test-reliability test-endurance lint types check openapi format ci

python := venv/bin/python
names := $(shell sed -n 's/^\([A-Z_]*\)=.*/\1/p' .env.example)
# The suite and the checks depend on no variable of the caller's.
unset := env $(names:%=-u %) -u DJANGO_SETTINGS_MODULE
testing := $(unset) DJANGO_SETTINGS_MODULE=config.settings.testing
# An empty variable means the default and wins over .env, which gives the demo its secrets only.
defaults := $(patsubst %,%=,$(filter-out SECRET_KEY JWT_SECRET_KEY,$(names)))
demo := $(unset) $(defaults) DEBUG=True SQLITE_PATH=data/demo/db.sqlite3 \
	MEDIA_ROOT=data/demo/media ML_MODELS_DIR=data/demo/ml_models \
	ENTRAINEMENTS_DIR=data/demo/entrainements

help:  ## Afficher cette aide
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

setup:  ## Installer venv/, les dépendances et .env (./setup.sh)
	@./setup.sh

demo: setup  ## Tout voir : banque d'exemple, entraînement, dix recommandations
	@$(demo) $(python) scripts/demo.py

demo-run: setup  ## Servir la banque d'exemple de « make demo »
	@test -e data/demo/db.sqlite3 || { echo "Il n'y a pas encore de banque d'exemple : lancez make demo."; exit 1; }
	@$(demo) $(python) manage.py runserver

run: setup  ## Servir la banque réglée dans .env
	@$(python) manage.py migrate --verbosity 0
	@$(python) manage.py runserver

test: setup  ## La suite, sur SQLite et mémoire locale
	@$(testing) venv/bin/pytest -n 2 -rs --ignore=tests/reliability

test-services: setup  ## La suite sur PostgreSQL et Redis (DB_HOST, REDIS_URL… de l'environnement)
	@REQUIRE_ALL=1 DJANGO_SETTINGS_MODULE=config.settings.testing venv/bin/pytest -n 2 -rs --ignore=tests/reliability

# Each file on one worker: its servers are started once.
test-servers: setup  ## Pannes et charge, sur des serveurs que les tests démarrent eux-mêmes
	@REQUIRE_ALL=1 $(testing) venv/bin/pytest -n 2 -rs --dist loadfile tests/reliability

# One after the other, and once more what failed: their figures are times.
test-reliability: setup  ## Les mêmes en grand, et celles dont le chiffre est une durée
	@$(testing) venv/bin/pytest -rs -m reliability tests \
		|| $(testing) venv/bin/pytest -rs -m reliability tests --last-failed

test-endurance: setup  ## Des pannes pendant 5 minutes, une charge pendant 30, puis trop de charge
	@$(testing) venv/bin/pytest -rs -m endurance -o log_cli=true --log-cli-level=INFO tests/reliability/test_endurance.py

lint: setup  ## Style et couches (ruff, import-linter, bash -n), Compose et Dockerfile
	@venv/bin/ruff check .
	@venv/bin/ruff format --check .
	@venv/bin/lint-imports --no-logo
	@for script in setup.sh .ci/run deploy/*.sh; do bash -n $$script || exit 1; done
	@venv/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@venv/bin/hadolint Dockerfile

types: setup  ## mypy --strict
	@venv/bin/mypy .

check: setup  ## Migrations, schéma OpenAPI, réglages de production
	@$(testing) $(python) manage.py makemigrations --check --dry-run
	@$(testing) $(python) manage.py spectacular --validate --fail-on-warn --file data/openapi.yaml
	@diff -u openapi.yaml data/openapi.yaml || { echo "openapi.yaml n'est plus à jour : lancez make openapi"; exit 1; }
	@$(unset) DEBUG=False DJANGO_SETTINGS_MODULE=config.settings.production ALLOWED_HOSTS=banque.example \
		SECRET_KEY=$$($(secret)) JWT_SECRET_KEY=$$($(secret)) DB_HOST=127.0.0.1 DB_PASSWORD=$$($(secret)) \
		REDIS_URL=redis://127.0.0.1:6379/0 $(python) manage.py check --deploy --fail-level WARNING
secret := $(python) -c 'import secrets; print(secrets.token_urlsafe(50))'

openapi: setup  ## Écrire openapi.yaml
	@$(testing) $(python) manage.py spectacular --validate --fail-on-warn --file openapi.yaml

format: setup  ## Mettre le code en forme
	@venv/bin/ruff check --fix .
	@venv/bin/ruff format .

ci:  ## Tout ce que l'intégration continue vérifie
	@.ci/run
