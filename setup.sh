#!/usr/bin/env bash
# Installe le projet : venv/, dépendances épinglées, .env. Peut être relancé à tout moment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'HELP'
Usage : ./setup.sh [--production] [--services]

Crée venv/, y installe les dépendances épinglées et écrit .env avec des secrets neufs.
Une seconde exécution ne refait que ce qui manque ; un .env existant est conservé.

  --production  n'installe que requirements/production.txt (défaut : development.txt)
  --services    règle .env sur PostgreSQL et Redis, tels que « docker-compose up -d » les démarre
  -h, --help    affiche cette aide

Variables d'environnement :
  PYTHON           l'interpréteur à utiliser (3.11 ou plus récent)
  TORCH_INDEX_URL  d'où prendre PyTorch : adresse d'index, dossier de wheels ou fichier .whl
HELP
}

say() { printf '==> %s\n' "$*"; }
fail() {
    printf 'Erreur : %s\n' "$*" >&2
    exit 1
}

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
makes_venvs() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

has_pip() { venv/bin/python -m pip --version >/dev/null 2>&1; }

# Without a terminal there is nobody to watch the downloads.
pip() {
    local quiet=(--quiet)
    [ -t 1 ] && quiet=()
    venv/bin/python -m pip --disable-pip-version-check ${quiet[@]+"${quiet[@]}"} "$@"
}

# The version the project is tested with comes first; a name may exist and not run (pyenv).
choose_python() {
    local candidate recent="" candidates=(python3.11 python3.12 python3.13 python3 python)
    [ -n "${PYTHON:-}" ] && candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        is_recent "$candidate" || continue
        recent=$candidate
        makes_venvs "$candidate" && echo "$candidate" && return
    done
    [ -n "$recent" ] && fail "$recent ne sait pas créer d'environnement virtuel ; installez les modules venv et pip (sous Debian ou Ubuntu : apt-get install python3-venv)."
    fail "Python 3.11 ou plus récent est nécessaire (trouvé : $("${PYTHON:-python3}" --version 2>/dev/null || echo aucun)) ; installez-le ou donnez son chemin : PYTHON=/chemin/vers/python ./setup.sh"
}

# pip that ends by itself leaves a sound venv/; only a killed one does not.
give_up() {
    rm -f venv/.incomplet
    fail "$@"
}

torch_pin() { grep -E '^torch==' requirements/base.txt; }

# --no-deps: the rest of torch's needs comes with the other requirements, from the usual index.
install_torch_from() {
    case $1 in
    *://*) ;;
    *) [ -e "$1" ] || give_up "TORCH_INDEX_URL=$1 n'existe pas ; donnez une adresse d'index, un dossier de wheels ou un fichier .whl." ;;
    esac
    say "PyTorch est pris dans $1."
    case $1 in
    *://*) pip install --no-deps --index-url "$1" "$(torch_pin)" ;;
    *.whl) pip install --no-deps --no-index --find-links "$(dirname "$1")" "$(torch_pin)" ;;
    *) pip install --no-deps --no-index --find-links "$1" "$(torch_pin)" ;;
    esac || give_up "$(torch_pin) n'a pas pu être installé depuis TORCH_INDEX_URL=$1 ; vérifiez l'adresse ou le dossier."
}

announce_torch() {
    say "PyTorch va être installé : environ 200 Mo à télécharger pour la version CPU, plusieurs Go"
    say "pour la version Linux par défaut (CUDA). Pour la version CPU, interrompez et relancez avec"
    say "TORCH_INDEX_URL=<index de la version CPU, dossier de wheels ou fichier .whl> ./setup.sh"
}

create_venv() {
    # Left behind only by a run that was killed: what it installed cannot be trusted.
    [ ! -e venv/.incomplet ] && is_recent venv/bin/python && has_pip && return
    local python
    python=$(choose_python)
    say "Création de venv/ avec $("$python" --version)."
    "$python" -m venv --clear venv || fail "venv/ n'a pas pu être créé avec $python."
}

wanted() { cat requirements/base.txt "requirements/$1.txt"; }

install_requirements() {
    if [ -n "${TORCH_INDEX_URL:-}" ] && ls -d venv/lib/python*/site-packages/torch >/dev/null 2>&1; then
        say "PyTorch est déjà installé : TORCH_INDEX_URL est sans effet. Pour en changer, effacez venv/."
    fi
    wanted "$1" | cmp -s - "venv/.installe-$1" && return
    touch venv/.incomplet
    if ! venv/bin/python -c 'import torch' 2>/dev/null; then
        if [ -n "${TORCH_INDEX_URL:-}" ]; then install_torch_from "$TORCH_INDEX_URL"; else announce_torch; fi
    fi
    say "Installation de requirements/$1.txt."
    pip install -r "requirements/$1.txt" || give_up "l'installation a échoué ; corrigez ce que pip signale ci-dessus, puis relancez ./setup.sh"
    rm -f venv/.incomplet
    wanted "$1" >"venv/.installe-$1"
}

secret() { venv/bin/python -c 'import secrets; print(secrets.token_urlsafe(50))'; }
value_of() { tr -d '\r' <.env | sed -n "s/^$1=//p" | tail -n 1; }

# Replaces the line of the variable where it stands, or adds it; keeps every other line.
put() (
    umask 077
    NAME=$1 VALUE=$2 awk '
        index($0, ENVIRON["NAME"] "=") == 1 { if (!done++) print ENVIRON["NAME"] "=" ENVIRON["VALUE"]; next }
        { print }
        END { if (!done) print ENVIRON["NAME"] "=" ENVIRON["VALUE"] }
    ' .env >.env.nouveau
    mv .env.nouveau .env
)

create_dotenv() {
    [ -e .env ] && return
    say "Écriture de .env avec des secrets neufs."
    local name template
    template=$(cat .env.example)
    for name in SECRET_KEY JWT_SECRET_KEY; do
        template=$(sed "s|^$name=.*|$name=$(secret)|" <<<"$template")
    done
    # Whole or not at all: a .env cut short would never be written again.
    (umask 077 && printf '%s\n' "$template" >.env.nouveau && mv .env.nouveau .env)
}

use_services() {
    put DB_HOST 127.0.0.1
    put DB_PORT 5432
    put DB_NAME banque_epreuves
    put DB_USER banque_epreuves
    [ -n "$(value_of DB_PASSWORD)" ] || put DB_PASSWORD "$(secret)"
    put REDIS_URL redis://127.0.0.1:6379/0
    say ".env est réglé sur PostgreSQL et Redis. Démarrez-les : docker-compose up -d"
}

mode=development services=false
for argument in "$@"; do
    case $argument in
    --production) mode=production ;;
    --services) services=true ;;
    -h | --help)
        usage
        exit
        ;;
    *) fail "option inconnue : $argument ; voyez ./setup.sh --help" ;;
    esac
done

create_venv
install_requirements "$mode"
create_dotenv
if $services; then use_services; fi
