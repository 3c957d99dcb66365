"""Models in a bucket, on a real server that speaks S3; each folder stands for a machine."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from moto.server import ThreadedMotoServer
from rest_framework.test import APIClient

from apps.core.models import Interaction, User
from apps.recommender import model_store
from apps.recommender.ml import artifact
from apps.recommender.ml.errors import CorruptArtifact, VersionExists
from apps.recommender.models import ModelMetadata, TrainingLog
from apps.recommender.services import model_files, training, training_runs
from apps.recommender.services.activation import activate
from apps.recommender.services.comparison import Comparison
from apps.recommender.services.forgetting import forget_erased, held_of
from apps.recommender.services.model_files import StorageAway
from config import buckets
from tests.conftest import forget
from tests.recommender.conftest import CONFIG
from tests.reliability.servers import free_port

BUCKET, FOLDER = "essai", "banque/modeles"
KEYS = {"aws_access_key_id": "qui", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket, which the settings name."""
    bucket = boto3.resource("s3", endpoint_url=s3_server, **KEYS).create_bucket(Bucket=BUCKET)
    speak_to(s3_server, settings, monkeypatch)
    yield bucket
    bucket.objects.delete()
    bucket.delete()


def speak_to(address: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"S3_BUCKET": BUCKET, "S3_ENDPOINT_URL": address}
    keys = {"S3_ACCESS_KEY_ID": "qui", "S3_SECRET_ACCESS_KEY": "secret"}
    for name, value in (named | keys).items():
        monkeypatch.setenv(name, value)
    settings.STORAGES = settings.STORAGES | {"modeles": buckets.named("modeles")}


@pytest.fixture
def away(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing answers any more where the bucket was."""
    return lambda: speak_to(f"http://127.0.0.1:{free_port()}", settings, monkeypatch)


@pytest.fixture
def on(settings: Any, tmp_path: Path) -> Any:
    """`on("b")`: from here on this is a process of machine b, which has its own folder."""

    def on(machine: str) -> Path:
        settings.ML_MODELS_DIR = tmp_path / machine
        model_store.reset()
        return tmp_path / machine

    return on


@pytest.fixture
def published(bucket: Any, on: Any, bank: Any) -> Any:
    """v1, trained on machine a."""
    on("a")
    training.train(CONFIG, version="v1")
    return bucket


def names(bucket: Any) -> list[str]:
    return sorted(one.key.removeprefix(f"{FOLDER}/") for one in bucket.objects.all())


def top_ten(bank: Any) -> dict[int, Any]:
    """What this process answers each student, computed and not remembered."""
    forget()
    return {student.pk: answered(student) for group in bank.students.values() for student in group}


def answered(student: User) -> list[tuple[int, float]]:
    client = APIClient()
    client.force_authenticate(student)
    answer = client.get("/api/recommendations/personalized/?top_k=10").json()
    assert answer["source"] == "ncf", answer
    return [(row["epreuve"]["id"], row["score"]) for row in answer["recommendations"]]


def test_a_training_hands_its_model_over_and_keeps_nothing(published, on):
    assert names(published) == sorted(f"v1/{name}" for name in artifact.FILES)
    assert artifact.folders(on("a")) == []
    assert ModelMetadata.objects.get().est_actif


def test_two_machines_serve_the_same_to_the_last_bit(published, on, bank):
    on("b")
    first = top_ten(bank)
    on("c")
    assert top_ten(bank) == first


def test_a_machine_fetches_once_and_goes_on_without_the_bucket(published, on, away, bank):
    on("b")
    before = top_ten(bank)
    away()
    model_store.reset()
    assert top_ten(bank) == before


@pytest.mark.django_db(transaction=True)
def test_processes_of_a_machine_that_need_a_model_together_fetch_it_once(
    published, on, monkeypatch
):
    on("b")
    fetched, receive, together = [], artifact.receive, threading.Barrier(4)
    monkeypatch.setattr(artifact, "receive", lambda *args: (fetched.append(1), receive(*args))[1])
    model, paths = ModelMetadata.objects.get(), []

    def process() -> None:
        together.wait()
        paths.append(model_files.to_serve(model))

    threads = [threading.Thread(target=process) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(fetched), len(set(paths)), len(paths)) == (1, 1, 4)


def test_a_machine_keeps_only_what_it_serves(published, on):
    folder = on("b")
    assert model_store.active_model().version == "v1"
    training.train(CONFIG, version="v2")
    assert model_store.active_model().version == "v2"
    assert [path.name for path in artifact.folders(folder)] == ["v2"]
    activate(ModelMetadata.objects.get(version="v1"), declencheur="commande")
    assert model_store.active_model().version == "v1"
    assert [path.name for path in artifact.folders(folder)] == ["v1"]


def test_to_compare_a_model_leaves_no_copy_of_it(published, on, away):
    folder, model = on("b"), ModelMetadata.objects.get()
    assert model in Comparison([model]).predictors
    assert artifact.folders(folder) == []
    away()
    assert "fait défaut" in Comparison([model]).unreadable[model]


def test_what_the_bucket_never_had_is_not_dropped(bucket, on, bank, settings):
    """From before there was a bucket."""
    folder, with_bucket = on("a"), settings.STORAGES
    settings.STORAGES = {name: one for name, one in with_bucket.items() if name != "modeles"}
    for version in ("v1", "v2"):
        training.train(CONFIG, version=version)
    settings.STORAGES = with_bucket
    model_store.reset()
    assert model_store.active_model().version == "v2"
    assert [path.name for path in artifact.folders(folder)] == ["v1", "v2"]
    call_command("publish_models")
    assert names(bucket) == sorted(f"{v}/{name}" for v in ("v1", "v2") for name in artifact.FILES)
    on("b")
    assert model_store.active_model().version == "v2"


def test_with_a_damaged_copy_the_old_model_serves_until_it_is_whole(
    published, on, bank, caplog, monkeypatch
):
    on("b")
    before = top_ten(bank)
    training.train(CONFIG, version="v2")
    stored = published.Object(f"{FOLDER}/v2/{artifact.WEIGHTS}")
    whole = stored.get()["Body"].read()
    stored.put(Body=whole[:-1])
    serving = model_store.active_model()
    assert (serving.version, serving.wanted, serving.degraded) == ("v1", "v2", True)
    assert top_ten(bank) == before
    assert "Modèle v2 inutilisable, l'ancien reste en service" in caplog.text
    stored.put(Body=whole)
    assert model_store.active_model().version == "v1", "not asked for at each request"
    monkeypatch.setattr(model_store, "RETRY_SECONDS", 0)
    assert model_store.active_model().version == "v2"


def test_nothing_that_is_not_whole_enters_a_machine(published, on):
    folder, model = on("b"), ModelMetadata.objects.get()
    for name in artifact.FILES:
        stored = published.Object(f"{FOLDER}/v1/{name}")
        whole = stored.get()["Body"].read()
        for harmed in (whole[: len(whole) // 2], b"", bytes([whole[0] ^ 1]) + whole[1:], None):
            stored.delete() if harmed is None else stored.put(Body=harmed)
            with pytest.raises((CorruptArtifact, StorageAway)):
                model_files.to_serve(model)
            assert [path.name for path in folder.iterdir()] == [".verrou"], name
        stored.put(Body=whole)
    assert model_files.to_serve(model) == folder / "v1"


def test_a_copy_that_rots_on_a_machine_is_fetched_again(published, on, bank):
    folder = on("b")
    before = top_ten(bank)
    (folder / "v1" / artifact.WEIGHTS).write_bytes(b"rot")
    on("b")
    assert top_ten(bank) == before


def test_with_the_bucket_away_the_old_model_serves_and_the_new_one_waits(
    published, on, bank, away, caplog
):
    on("b")
    assert model_store.active_model().version == "v1"
    training.train(CONFIG, version="v2")
    away()
    assert model_store.active_model().version == "v1"
    assert "Le stockage des modèles fait défaut" in caplog.text
    with pytest.raises(CommandError, match="Le stockage des modèles fait défaut") as refusal:
        call_command("activate_model", "v2")
    assert refusal.value.returncode == 3


def test_a_training_waits_for_a_bucket_that_is_away(bucket, on, bank, monkeypatch, caplog):
    """Its hours are not lost: what it wrote goes out with the next try."""
    on("a")
    save, tries = storages["modeles"].save, []

    def late(name: str, content: Any) -> str:
        tries.append(name)
        if len(tries) == 3:
            raise StorageAway("Le stockage des modèles fait défaut : coupure.")
        return save(name, content)

    monkeypatch.setattr(storages["modeles"], "save", late)
    monkeypatch.setattr(training_runs, "RETRY_SECONDS", 1)
    assert training.train(CONFIG, version="v1").model.est_actif
    assert "coupure" in caplog.text
    assert names(bucket) == sorted(f"v1/{name}" for name in artifact.FILES)


def test_a_training_that_could_not_hand_its_model_over_says_so_before_it_learns(
    bucket, on, bank, away
):
    on("a")
    away()
    with pytest.raises(CommandError, match="Le stockage des modèles fait défaut") as refusal:
        call_command("train_model")
    assert refusal.value.returncode == 3
    assert not TrainingLog.objects.exists()


def test_a_name_that_the_bucket_knows_is_taken(published, on, bank):
    ModelMetadata.objects.update(version="autre")
    on("b")
    with pytest.raises(VersionExists):
        training.train(CONFIG, version="v1")


def test_what_is_removed_is_nowhere(published, on):
    folder = on("b")
    assert model_store.active_model().version == "v1"
    model_files.remove("v1")
    assert (names(published), artifact.folders(folder)) == ([], [])
    assert model_files.versions() == []


# --- Erasing an account -------------------------------------------------------------------


def gone(bank: Any) -> int:
    student = bank.students["MATH"][0]
    number = student.pk
    Interaction.objects.filter(user=student).delete()
    User.objects.filter(pk=number).delete()
    return number


def test_an_erasure_reaches_the_bucket_and_every_machine(published, on, bank):
    folders = [on("b"), on("c")]
    for machine in ("b", "c"):
        on(machine)
        assert model_store.active_model().predictor.knows_user(bank.students["MATH"][0].pk)
    training.train(CONFIG, version="v2")
    activate(ModelMetadata.objects.get(version="v1"), declencheur="commande")
    number = gone(bank)
    on("d")
    assert forget_erased() == []
    assert not any(model_files.knows_user(version, number) for version in ("v1", "v2"))
    for machine, folder in zip(("b", "c"), folders, strict=True):
        on(machine)
        assert not model_store.active_model().predictor.knows_user(number)
        assert not artifact.knows_user(folder / "v1", number)
        assert [path.name for path in artifact.folders(folder)] == ["v1"]


def test_a_process_that_serves_already_forgets_at_its_next_look(published, on, bank):
    on("b")
    assert model_store.active_model().predictor.knows_user(bank.students["MATH"][0].pk)
    number = gone(bank)
    forget_erased()
    assert not model_store.active_model().predictor.knows_user(number)


def test_with_the_bucket_away_an_erasure_is_named_and_made_up_for(
    published, on, bank, away, s3_server, settings, monkeypatch, caplog
):
    on("b")
    assert model_store.active_model().version == "v1"
    number = gone(bank)
    away()
    assert forget_erased() == ["le stockage des modèles"]
    assert "Des comptes effacés restent dans les modèles" in caplog.text
    with pytest.raises(CommandError, match="le stockage des modèles"):
        call_command("forget_erased")
    speak_to(s3_server, settings, monkeypatch)
    assert forget_erased() == []
    assert not model_store.active_model().predictor.knows_user(number)


def test_a_process_that_cannot_fetch_the_users_asks_again(
    published, on, bank, away, s3_server, settings, monkeypatch
):
    on("b")
    served = model_store.active_model()
    number = gone(bank)
    forget_erased()
    away()
    (settings.ML_MODELS_DIR / "v1" / artifact.USERS).write_bytes(b"as on another machine")
    assert model_store.active_model().predictor is served.predictor
    speak_to(s3_server, settings, monkeypatch)
    monkeypatch.setattr(model_store, "RETRY_SECONDS", 0)
    assert not model_store.active_model().predictor.knows_user(number)


def test_an_export_names_the_models_of_the_bucket(published, on, bank, away):
    on("b")
    student = bank.students["MATH"][0]
    assert held_of(student)["modeles_qui_me_connaissent"] == ["v1"]
    away()
    with pytest.raises(StorageAway):
        held_of(student)


def test_the_bucket_holds_no_file_that_a_reader_takes_for_whole_before_it_is(
    bucket, on, bank, monkeypatch
):
    order: list[str] = []
    save = storages["modeles"].save
    monkeypatch.setattr(
        storages["modeles"], "save", lambda name, content: (order.append(name), save(name, content))
    )
    on("a")
    training.train(CONFIG, version="v1")
    assert order[0].endswith(artifact.USERS)
    assert order[3].endswith(artifact.MANIFEST)


def test_the_default_asks_nothing_of_any_bucket(trained, settings):
    assert "modeles" not in settings.STORAGES
    assert model_files.to_serve(trained.model) == settings.ML_MODELS_DIR / "v1"
    assert model_files.versions() == ["v1"]
