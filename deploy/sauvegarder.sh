#!/usr/bin/env bash
# Copie la base, les PDF et les modèles dans un dossier neuf : deploy/sauvegarder.sh DOSSIER
# La moindre erreur arrête tout, efface la copie commencée et rend un code différent de 0.
set -euo pipefail
[ $# = 1 ] || { echo "Usage : $0 DOSSIER (celui qui reçoit les sauvegardes)" >&2; exit 2; }
dossier=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source deploy/reglages.sh

copie=$dossier/$(date +%Y%m%d-%H%M%S)
umask 077
mkdir "$copie" "$copie/media" "$copie/ml_models"
trap '[ -e "$copie/SHA256SUMS" ] || { rm -rf "$copie"; echo "Sauvegarde échouée : rien n'"'"'est gardé." >&2; }' EXIT

# Les fichiers avant et après la base : un PDF déposé ou remplacé entre-temps est toujours là.
mkdir -p "$MEDIA_ROOT" "$ML_MODELS_DIR"
cp -a -u "$MEDIA_ROOT"/. "$copie/media/"
pg_dump --format=custom --file="$copie/base.dump" "$PGDATABASE"
pg_restore --list "$copie/base.dump" >/dev/null
cp -a -u "$MEDIA_ROOT"/. "$copie/media/"
cp -a -u "$ML_MODELS_DIR"/. "$copie/ml_models/"
(cd "$copie" && find . -type f ! -name 'SHA256SUMS*' -exec sha256sum {} + >SHA256SUMS.ecrit && mv SHA256SUMS.ecrit SHA256SUMS)
echo "$copie"
