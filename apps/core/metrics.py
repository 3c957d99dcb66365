"""What Prometheus reads. Names are French, with the suffixes that Prometheus expects."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

_REQUESTS = Histogram(
    "banque_requetes_secondes",
    "Durée des requêtes, par vue, méthode et statut.",
    ["vue", "methode", "statut"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


def observe_request(view: str, method: str | None, status: int, seconds: float) -> None:
    """A client may invent methods without end; a series each would be kept for ever."""
    known = method if method in METHODS else "autre"
    _REQUESTS.labels(view, known, status).observe(seconds)


def exposition() -> bytes:
    """Of all workers together, where gunicorn.conf.py gave them a folder to count in."""
    registry: Collector = REGISTRY
    if values.ValueClass is not values.MutexValue:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
