#!/usr/bin/env bash
# Remet une sauvegarde à la place de ce qui est là : deploy/restaurer.sh SAUVEGARDE
# Services arrêtés. Rien n'est touché si la copie est abîmée ; la base revient en entier ou pas.
set -euo pipefail
[ $# = 1 ] || { echo "Usage : $0 SAUVEGARDE (un dossier fait par sauvegarder.sh)" >&2; exit 2; }
copie=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source deploy/reglages.sh

(cd "$copie" && sha256sum --quiet --check SHA256SUMS)
pg_restore --clean --if-exists --no-owner --single-transaction --dbname="$PGDATABASE" "$copie/base.dump"
mkdir -p "$MEDIA_ROOT" "$ML_MODELS_DIR"
cp -a "$copie/media/." "$MEDIA_ROOT/"
cp -a "$copie/ml_models/." "$ML_MODELS_DIR/"
venv/bin/python manage.py migrate --verbosity 0
venv/bin/python manage.py check --deploy --fail-level WARNING
