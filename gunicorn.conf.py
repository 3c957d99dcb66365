"""How gunicorn serves; what its command line says wins. It finds this file by itself."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from config import env, logs

with env.dotenv():
    workers = env.integer("WEB_PROCESSUS", 2, minimum=1)
    threads = env.integer("WEB_FILS", 4, minimum=1)
    logconfig_dict = logs.configuration("ligne" if env.boolean("DEBUG", True) else "json")
worker_class = "gthread"
# As much as nginx lets through.
limit_request_line = 8190
# No preload: a child forked after torch ran hangs, and HUP would keep the old settings.
preload_app = False

# A process that hangs longer is replaced, not one that answers slowly: its threads do that. One
# told to stop may finish what it is answering.
timeout = 60
graceful_timeout = 30
# Longer than nginx keeps its idle connections, so that it never writes on one being closed.
keepalive = 75
# A heartbeat on a disk waits for that disk.
_memory = Path("/dev/shm")  # noqa: S108
worker_tmp_dir = str(_memory) if _memory.is_dir() else None
# A second server of the same person would take the socket of the first; signals do the same.
control_socket_disable = True


def on_starting(server: Any) -> None:
    """Workers count into one folder, so that /metrics speaks for all, whichever answers."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="banque-metriques-")


def on_exit(server: Any) -> None:
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])


def post_worker_init(worker: Any) -> None:
    """Load the model before the first request, which would wait for it."""
    from django.db import connections

    from apps.recommender import model_store

    model_store.warm_up()
    # This thread answers nobody: its connection would stay open, unused.
    connections.close_all()
    worker.log.info("Processus %s prêt", worker.pid)
