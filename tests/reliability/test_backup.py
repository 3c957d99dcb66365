"""The backup and the restore of docs/exploitation.md, played back line by line."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.reliability import servers
from tests.reliability.servers import ROOT, Bank, Postgres, Redis

pytestmark = pytest.mark.requires("servers")

PAGE = (ROOT / "docs" / "exploitation.md").read_text(encoding="utf-8")
BACKUP, RESTORE = re.findall(
    r"<!-- rejoué par tests/reliability/test_backup.py -->\n```bash\n(.*?)```", PAGE, re.DOTALL
)
BEST = """
from apps.core.models import User
from apps.recommender import model_store, selectors
predictor = model_store.active_model().predictor
user = User.objects.get(username="etudiant1")
ids, scores = predictor.user_scores(user.pk, selectors.past_of(user))
print(predictor.version, [(int(pk), float(score).hex()) for pk, score in zip(ids, scores)])
"""


@dataclass
class Machine:
    """A machine of its own: /srv/banque with a .env, and a database that it names."""

    root: Path
    bank: Bank

    @property
    def project(self) -> Path:
        return self.root / "srv" / "banque"

    def install(self) -> None:
        """As setup.sh leaves it; copied, since config/ looks for .env beside itself."""
        for name in ("config", "apps", "deploy"):
            shutil.copytree(ROOT / name, self.project / name)
        shutil.copy(ROOT / "manage.py", self.project)
        (self.project / "venv").symlink_to(ROOT / "venv")
        folders = {"MEDIA_ROOT": "media", "ML_MODELS_DIR": "ml_models", "STATIC_ROOT": "static"}
        values = {**self.bank.environment, **folders}
        for machines_own in ("PATH", "HOME", "TMPDIR"):
            del values[machines_own]
        lines = (f"{name}={value}\n" for name, value in values.items())
        (self.project / ".env").write_text("".join(lines), encoding="utf-8")

    def play(self, script: str, backups: Path) -> str:
        """Run it as somebody who has just logged in would, from another folder."""
        backups.mkdir(exist_ok=True)
        script = script.replace("/srv/banque", str(self.project))
        script = script.replace("/var/backups/banque", str(backups))
        script = script.replace("20261123-030000", "*")  # the one that there is
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.root,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.root)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def manage(self, *argv: str) -> str:
        line = " ".join(f"'{word}'" for word in argv)
        return self.play(
            f"cd /srv/banque; source venv/bin/activate; python manage.py {line}", self.root
        )

    def manage_setting(self, name: str) -> str:
        code = f"from django.db import connection as c; print(c.settings_dict[{name!r}], end='')"
        return self.play(
            f"cd /srv/banque; venv/bin/python manage.py shell --no-imports -c {shlex.quote(code)}",
            self.root,
        )

    def rows(self) -> dict[str, int]:
        names = self.bank.sql("select tablename from pg_tables where schemaname = 'public'")
        count = 'select count(*) from "{}"'
        return {name: self.bank.sql(count.format(name))[0][0] for (name,) in names}

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.project)): path.read_bytes()
            for folder in ("media", "ml_models")
            for path in sorted((self.project / folder).rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def machine(postgres: Postgres, redis: Redis, tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    with ExitStack() as stack:

        def install(name: str) -> Machine:
            folder = stack.enter_context(servers.folder())
            bank = stack.enter_context(
                servers.production(folder, postgres, redis, template="template0")
            )
            made = Machine(tmp_path / name, bank)
            made.install()
            return made

        yield install


def test_a_backup_restored_elsewhere_is_the_same_bank(machine, tmp_path):
    first = machine("premiere")
    first.manage("migrate", "--verbosity=0")
    size = ("--users=30", "--epreuves=40", "--interactions=1500", "--verbosity=0")
    first.manage("generate_data", "--force", *size)
    first.manage("train_model", "--epochs=2", "--embedding-dim=8", "--verbosity=0")
    best = first.manage("shell", "--no-imports", "--command", BEST)
    first.play(BACKUP, tmp_path / "backups")

    second = machine("seconde")
    second.play(RESTORE, tmp_path / "backups")
    assert second.rows() == first.rows()
    assert second.rows()["core_interaction"] == 1500
    assert second.files() == first.files()
    assert len(first.files()) > 40
    assert second.manage("shell", "--no-imports", "--command", BEST) == best


def test_a_backup_that_was_altered_is_not_restored(machine, tmp_path):
    first = machine("premiere")
    first.manage("migrate", "--verbosity=0")
    first.play(BACKUP, tmp_path / "backups")
    dump = next((tmp_path / "backups").glob("*/base.dump"))
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    second = machine("seconde")
    with pytest.raises(AssertionError, match=r"base\.dump"):
        second.play(RESTORE, tmp_path / "backups")
    assert second.rows() == {}


def test_a_backup_that_fails_keeps_nothing_and_says_so(machine, postgres, tmp_path):
    first = machine("premiere")
    first.manage("migrate", "--verbosity=0")
    name = first.bank.variables["DB_NAME"]
    with postgres.connect(name) as connection:
        # pg_dump has begun its file when it meets a table that is not its own.
        connection.execute("create table secrete (a int)")
        with pytest.raises(AssertionError, match="rien n'est gardé"):
            first.play(BACKUP, tmp_path / "backups")
    assert list((tmp_path / "backups").iterdir()) == []


def test_the_settings_are_read_as_the_application_reads_them(machine):
    first = machine("premiere")
    password = "a$b&c d'e\"f"
    with (first.project / ".env").open("a", encoding="utf-8") as dotenv:
        dotenv.write(f"DB_PASSWORD={password}\nDEFAULT_FROM_EMAIL=Banque d'épreuves <a@b.test>\n")
    line = 'cd /srv/banque; source deploy/reglages.sh; printf %s "$PGPASSWORD"'
    assert first.play(line, first.root) == first.manage_setting("PASSWORD")
