"""A database that is away or behind, and how it is said to who waits for it."""

from django.db import InterfaceError, OperationalError, ProgrammingError, connection
from django.db.migrations.executor import MigrationExecutor


def is_away(error: BaseException | None) -> bool:
    """SQLite calls a missing table "operational" too: that is a migration nobody ran."""
    is_away = isinstance(error, (OperationalError, InterfaceError))
    return is_away and not str(error).startswith("no such ")


def is_behind(error: BaseException) -> bool:
    """Does it lack a table or a column that a migration nobody ran would give it?"""
    if not isinstance(error, (OperationalError, ProgrammingError)):
        return False
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def in_one_line(error: BaseException) -> str:
    """For a terminal: what is wrong, and what to do next; empty where nobody but us can do it."""
    reason = str(error).partition("\n")[0]
    if is_away(error):
        return f"La base de données fait défaut ({reason}). {_remedy()}, puis relancez."
    if is_behind(error):
        return (
            f"La base de données n'est pas à jour ({reason}). Lancez python manage.py migrate ; si "
            "c'est lui qui échoue, ajoutez --traceback."
        )
    return ""


def _remedy() -> str:
    if connection.vendor == "sqlite":
        return (
            f"Vérifiez que ce compte peut lire et écrire {connection.settings_dict['NAME']} et son "
            "dossier, que rien d'autre ne l'occupe et que le disque n'est pas plein"
        )
    names = "DB_HOST, DB_PORT, DB_NAME, DB_USER et DB_PASSWORD"
    return f"Vérifiez qu'elle tourne, et {names} dans .env"
