"""config.env: what a variable may hold, and what is said when it does not."""

import os
import re
from pathlib import Path

import pytest

from config import env

ROOT = Path(__file__).parent.parent
READ = re.compile(
    r'env\.(?:text|integer|share|boolean|words|path|matching|rate|url|email)\(\s*"([A-Z_]+)"'
)
DECLARED = re.compile(r"^([A-Z_]+)=", re.MULTILINE)


def _read_by_settings() -> set[str]:
    return {
        name
        for source in (*(ROOT / "config").rglob("*.py"), ROOT / "gunicorn.conf.py")
        for name in READ.findall(source.read_text(encoding="utf-8"))
    }


def _declared() -> list[str]:
    return DECLARED.findall((ROOT / ".env.example").read_text(encoding="utf-8"))


def test_env_example_names_what_settings_read_and_nothing_else() -> None:
    assert set(_declared()) == _read_by_settings()


def test_env_example_names_each_variable_once() -> None:
    assert len(_declared()) == len(set(_declared()))


def test_nothing_reads_the_environment_past_config_env() -> None:
    reader = re.compile(r"os\.(environ|getenv)")
    readers = {
        str(source.relative_to(ROOT))
        for folder in ("apps", "config")
        for source in (ROOT / folder).rglob("*.py")
        if reader.search(source.read_text(encoding="utf-8"))
    }
    # What xdist and torchrun tell the processes that they start is no setting.
    told = {
        "config/settings/testing.py",
        "apps/recommender/ml/distributed.py",
        "apps/recommender/services/training_group.py",
    }
    assert readers == {"config/env.py", *told}


def test_an_empty_value_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_NAME", "  ")
    assert env.text("A_NAME", "default") == "default"
    assert env.integer("A_NAME", 7) == 7
    assert env.boolean("A_NAME", True) is True
    assert env.words("A_NAME", "a,b") == ["a", "b"]


def test_a_required_value_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_NAME", raising=False)
    with pytest.raises(env.SettingRefused, match="A_NAME est requise"):
        env.text("A_NAME")


@pytest.mark.parametrize("raw", ["douze", "1.5", "1 000", "NaN"])
def test_an_integer_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("A_NAME", raw)
    with pytest.raises(env.SettingRefused, match=f"A_NAME doit être un entier, pas « {raw} »"):
        env.integer("A_NAME", 1)


def test_an_integer_below_its_minimum_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_NAME", "0")
    with pytest.raises(env.SettingRefused, match="A_NAME doit valoir au moins 1, pas 0"):
        env.integer("A_NAME", 5, minimum=1)


def test_an_integer_above_its_maximum_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_NAME", "4001")
    with pytest.raises(env.SettingRefused, match="A_NAME doit valoir au plus 4000, pas 4001"):
        env.integer("A_NAME", 5, maximum=4000)


@pytest.mark.parametrize("raw", ["0.03", "0,03", " 3e-2 "])
def test_a_share_is_read_as_people_write_it(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("A_NAME", raw)
    assert env.share("A_NAME", 0.5) == 0.03


@pytest.mark.parametrize("raw", ["-0.1", "1.01", "nan", "inf", "peu"])
def test_a_share_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("A_NAME", raw)
    with pytest.raises(env.SettingRefused, match=f"A_NAME doit .*{raw}"):
        env.share("A_NAME", 0.5)


@pytest.mark.parametrize(
    ("raw", "value"),
    [("True", True), ("1", True), ("oui", True), ("FALSE", False), ("off", False), ("non", False)],
)
def test_booleans_are_read_without_regard_to_case(
    monkeypatch: pytest.MonkeyPatch, raw: str, value: bool
) -> None:
    monkeypatch.setenv("A_NAME", raw)
    assert env.boolean("A_NAME", not value) is value


def test_a_boolean_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_NAME", "peut-être")
    with pytest.raises(env.SettingRefused, match="A_NAME doit valoir True ou False"):
        env.boolean("A_NAME", True)


def test_words_are_split_at_commas_and_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_NAME", " a.example , ,b.example,")
    assert env.words("A_NAME") == ["a.example", "b.example"]


def test_a_relative_path_starts_at_the_project_and_an_absolute_one_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_NAME", "data/x")
    assert env.path("A_NAME", Path("/default")) == ROOT / "data" / "x"
    monkeypatch.setenv("A_NAME", "/srv/x")
    assert env.path("A_NAME", Path("/default")) == Path("/srv/x")


def test_the_environment_wins_over_dotenv_even_when_empty(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("A_NAME=file\nANOTHER_NAME=file\nA_THIRD=$ecret=éà#1\n", encoding="utf-8")
    monkeypatch.setenv("A_NAME", "")
    # setenv then delenv: monkeypatch removes at the end what read_dotenv adds.
    for name in ("ANOTHER_NAME", "A_THIRD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    env.read_dotenv(dotenv)
    assert env.text("A_NAME", "default") == "default"
    assert env.text("ANOTHER_NAME") == "file"
    assert env.text("A_THIRD") == "$ecret=éà#1"


def test_dotenv_can_be_read_for_the_length_of_a_block(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("A_NAME", raising=False)
    path = tmp_path / ".env"
    path.write_text("A_NAME=first\n")
    with env.dotenv(path):
        assert env.text("A_NAME") == "first"
    assert "A_NAME" not in os.environ
    path.write_text("A_NAME=second\n")
    with env.dotenv(path):
        assert env.text("A_NAME") == "second"


@pytest.mark.parametrize("raw", ["abc", "100", "5/fortnight", "0/min", "-1/min"])
def test_a_rate_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("A_NAME", raw)
    with pytest.raises(env.SettingRefused, match="A_NAME vaut"):
        env.rate("A_NAME", "1/min")


@pytest.mark.parametrize("raw", ["foo", "http://x", "redis://"])
def test_an_address_of_another_kind_is_named(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("A_NAME", raw)
    with pytest.raises(env.SettingRefused, match="A_NAME vaut"):
        env.url("A_NAME", "redis", "rediss")


def test_a_mail_server_is_named_by_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_NAME", "smtp+tls://banque:p%40sse@mail.imsp.test:587")
    said = env.email("A_NAME")
    assert (said["EMAIL_HOST"], said["EMAIL_PORT"]) == ("mail.imsp.test", 587)
    assert (said["EMAIL_HOST_USER"], said["EMAIL_HOST_PASSWORD"]) == ("banque", "p@sse")
    assert said["EMAIL_USE_TLS"] is True
    monkeypatch.setenv("A_NAME", "")
    assert env.email("A_NAME") == {}


@pytest.mark.parametrize("raw", ["mail.imsp.test", "smtp://mail:secret@mail.imsp.test", "x://y:1"])
def test_a_mail_server_that_is_none_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, raw: str
) -> None:
    monkeypatch.setenv("A_NAME", raw)
    with pytest.raises(env.SettingRefused, match="A_NAME") as refusal:
        env.email("A_NAME")
    assert raw not in str(refusal.value)


@pytest.mark.parametrize("line", ["DB_HOST = x", "DB_HOST", "un mot"])
def test_a_line_of_dotenv_without_sense_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"# ok\n{line}\n", encoding="utf-8")
    with pytest.raises(env.SettingRefused, match="ligne 2"):
        env.read_dotenv(dotenv)


def test_a_dotenv_in_another_encoding_is_one_sentence(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes("A=é\n".encode("latin-1"))
    with pytest.raises(env.SettingRefused, match="UTF-8"):
        env.read_dotenv(dotenv)


def test_a_dotenv_that_another_account_keeps_to_itself_is_one_sentence() -> None:
    kept = Path("/proc/self/mem")  # a file that even root cannot read from its start
    with pytest.raises(env.SettingRefused, match="sous le compte à qui il appartient"):
        env.read_dotenv(kept)


def test_a_dotenv_saved_by_windows_is_read(monkeypatch, tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes("\ufeffA_NAME=file\r\n".encode())
    monkeypatch.setenv("A_NAME", "")
    monkeypatch.delenv("A_NAME")
    env.read_dotenv(dotenv)
    assert env.text("A_NAME") == "file"


@pytest.mark.parametrize(
    ("argv", "debug", "module"),
    [
        (["manage.py", "runserver"], "True", "development"),
        (["manage.py", "runserver"], "", "development"),
        (["manage.py", "runserver"], "False", "production"),
        (["gunicorn", "config.wsgi"], "False", "production"),
        (["manage.py", "test"], "False", "testing"),
    ],
)
def test_settings_are_chosen_by_debug_and_the_suite_has_its_own(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], debug: str, module: str
) -> None:
    monkeypatch.setenv("DEBUG", debug)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    monkeypatch.setattr(env, "read_dotenv", lambda: None)
    assert env.settings_module(argv) == f"config.settings.{module}"


def test_the_suite_keeps_its_settings_whatever_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "config.settings.production")
    env.configure(["manage.py", "test"])
    assert os.environ["DJANGO_SETTINGS_MODULE"] == "config.settings.testing"


def test_a_named_settings_module_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "config.settings.production")
    env.configure(["manage.py", "migrate"])
    assert os.environ["DJANGO_SETTINGS_MODULE"] == "config.settings.production"
