from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2(Argon2PasswordHasher):
    """As OWASP advises; Django's own parameters take 100 MiB for each login at work."""

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1
