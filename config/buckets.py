"""The S3-compatible bucket that the environment names, if any; half of one is refused."""

from typing import Any

from config import env


def named(folder: str) -> dict[str, Any]:
    """A folder of the bucket, as STORAGES wants it; empty where there is no bucket."""
    bucket = env.text("S3_BUCKET", "")
    endpoint, region = env.url("S3_ENDPOINT_URL", "http", "https"), env.text("S3_REGION", "")
    key, secret = env.text("S3_ACCESS_KEY_ID", ""), env.text("S3_SECRET_ACCESS_KEY", "")
    if not bucket:
        _require_nothing_of(S3_ENDPOINT_URL=endpoint, S3_REGION=region, S3_ACCESS_KEY_ID=key)
        return {}
    if not endpoint and not region:
        raise env.SettingRefused("S3_BUCKET : nommez son serveur (S3_ENDPOINT_URL) ou S3_REGION.")
    if bool(key) != bool(secret) or (endpoint and not key):
        raise env.SettingRefused(
            "S3_BUCKET : donnez S3_ACCESS_KEY_ID et S3_SECRET_ACCESS_KEY, l'un avec l'autre."
        )
    options = {
        "bucket_name": bucket,
        "location": f"{env.text('S3_PREFIXE', 'banque')}/{folder}",
        "endpoint_url": endpoint or None,
        "region_name": region or None,
        "access_key": key or None,
        "secret_key": secret or None,
    }
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options | _manners()}


def _require_nothing_of(**values: str) -> None:
    for name, value in values.items():
        if value:
            raise env.SettingRefused(f"{name} est donnée sans S3_BUCKET : nommez le seau.")


def _manners() -> dict[str, Any]:
    """How to speak to it: a bucket may be slow or away; an answer of ours may not."""
    from botocore.config import Config

    return {
        "client_config": Config(
            connect_timeout=2,
            read_timeout=5,
            retries={"mode": "standard", "total_max_attempts": 2},
            # Ours are SHA-256, and not every compatible server knows those of AWS.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        ),
        # Past that a file waits on disk, not in memory.
        "max_memory_size": 1024 * 1024,
    }
