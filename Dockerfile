# The API and its background work, one image. Built and run by docker-compose.yml, profile app.
FROM python:3.11-slim-bookworm AS paquets
# Where the CPU build of PyTorch is, as for setup.sh; empty: the usual index, with CUDA.
ARG TORCH_INDEX_URL=""
WORKDIR /srv/banque
COPY requirements/base.txt requirements/production.txt requirements/
RUN python -m venv /srv/venv
ENV PATH=/srv/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
        pip install --no-deps --index-url "$TORCH_INDEX_URL" "$(grep '^torch==' requirements/base.txt)"; \
    fi && \
    pip install -r requirements/production.txt

FROM python:3.11-slim-bookworm
ENV PATH=/srv/venv/bin:$PATH PYTHONUNBUFFERED=1
# The same number on every machine: the volumes keep it.
RUN useradd --system --uid 10001 --home-dir /srv/banque --shell /usr/sbin/nologin banque
WORKDIR /srv/banque
COPY --from=paquets /srv/venv /srv/venv
COPY manage.py gunicorn.conf.py ./
COPY apps/ apps/
COPY config/ config/
# Production refuses to start without these; none of them stays in the image.
RUN DEBUG=False ALLOWED_HOSTS=construction DB_HOST=construction DB_PASSWORD=construction \
    REDIS_URL=redis://construction \
    SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(50))')" \
    JWT_SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(50))')" \
    python manage.py collectstatic --noinput && \
    install -d -o banque -g banque media ml_models entrainements data
USER 10001
EXPOSE 8000
# The first of ALLOWED_HOSTS, over TLS, as nginx would ask.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:8000/api/sante/live/', headers={'Host': os.environ['ALLOWED_HOSTS'].split(',')[0].lstrip('.'), 'X-Forwarded-Proto': 'https'}), timeout=4)"]
CMD ["gunicorn", "config.wsgi:application", "--bind", "0.0.0.0:8000"]
