"""A database that is away, and how it is said to who waits for it."""

from django.db import InterfaceError, OperationalError, connection


def is_away(error: BaseException | None) -> bool:
    """SQLite calls a missing table "operational" too: that is a migration nobody ran."""
    is_away = isinstance(error, (OperationalError, InterfaceError))
    return is_away and not str(error).startswith("no such ")


def in_one_line(error: BaseException) -> str:
    """For a terminal: what is wrong, and what to do next."""
    if connection.vendor == "sqlite":
        remedy = (
            f"Vérifiez que ce compte peut lire et écrire {connection.settings_dict['NAME']} et son "
            "dossier, que rien d'autre ne l'occupe et que le disque n'est pas plein"
        )
    else:
        names = "DB_HOST, DB_PORT, DB_NAME, DB_USER et DB_PASSWORD"
        remedy = f"Vérifiez qu'elle tourne, et {names} dans .env"
    reason, *_ = str(error).splitlines()
    return f"La base de données fait défaut ({reason}). {remedy}, puis relancez."
