import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from apps.recommender.ml import artifact
from apps.recommender.ml.architectures import ARCHITECTURES
from apps.recommender.ml.artifact import (
    ArtifactInfo,
    folders,
    forget_users,
    knows_user,
    load,
    save,
    writer_of,
)
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset
from apps.recommender.ml.errors import CorruptArtifact, InvalidVersion, VersionExists
from apps.recommender.ml.hybrid import Hybrid
from apps.recommender.ml.ncf import Ncf
from tests.recommender.ml.cases import drawn

FILES = {"weights.safetensors", "items.json", "users.json", "manifest.json"}


@pytest.fixture
def saved(tmp_path: Path, small_model: Ncf, board: Dataset) -> ArtifactInfo:
    return save(tmp_path / "models", "v1", small_model, board, {"note": "essai"})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_loaded_is_bit_for_bit_what_was_saved(
    architecture: str, tmp_path: Path, board: Dataset
) -> None:
    model = drawn(architecture, board, seed=4)
    info = save(tmp_path, "v1", model, board, {"ndcg_at_10": 0.25})
    loaded = load(info.path, sha256=info.sha256)
    weights, saved = loaded.model.network.state_dict(), model.network.state_dict()
    assert weights.keys() == saved.keys()
    assert all(torch.equal(weights[name], value) for name, value in saved.items())
    assert np.array_equal(loaded.user_ids, board.user_ids)
    assert np.array_equal(loaded.item_ids, board.item_ids)
    assert loaded.manifest["metadata"] == {"ndcg_at_10": 0.25}
    assert loaded.manifest["architecture"] == architecture


def test_the_same_model_gives_the_same_bytes(
    tmp_path: Path, small_model: Ncf, board: Dataset
) -> None:
    first, again = (save(tmp_path / name, "v1", small_model, board, {}) for name in "ab")
    assert first.sha256 == again.sha256


def test_the_info_says_what_is_on_disk(saved: ArtifactInfo) -> None:
    files = list(saved.path.iterdir())
    assert {file.name for file in files} == FILES
    assert saved.size == sum(file.stat().st_size for file in files)
    manifest = (saved.path / "manifest.json").read_bytes()
    assert saved.sha256 == hashlib.sha256(manifest).hexdigest()


# --- What is refused -----------------------------------------------------------------------------


def edit_manifest(path: Path, **changes: Any) -> None:
    """Change the manifest and seal it again, as its author would."""
    content = json.loads((path / "manifest.json").read_bytes())
    del content["sha256"]
    (path / "manifest.json").write_bytes(artifact._sealed({**content, **changes}))


def edit_sizes(path: Path, **changes: Any) -> None:
    """The same for the sizes of the network."""
    sizes = json.loads((path / "manifest.json").read_bytes())["model"]
    edit_manifest(path, model={**sizes, **changes})


def replace_weights(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the weights and make the manifest agree, so that their content alone is wrong."""
    weights = load_file(path / "weights.safetensors")
    change(weights)
    save_file(weights, path / "weights.safetensors")
    files = {
        name: hashlib.sha256((path / name).read_bytes()).hexdigest()
        for name in ("weights.safetensors", "items.json")
    }
    edit_manifest(path, files=files)


def truncate(name: str) -> Callable[[Path], object]:
    return lambda path: os.truncate(path / name, (path / name).stat().st_size // 2)


def flip(name: str) -> Callable[[Path], object]:
    def corrupt(path: Path) -> None:
        content = bytearray((path / name).read_bytes())
        content[len(content) * 2 // 3] ^= 1
        (path / name).write_bytes(content)

    return corrupt


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes(content)


def remove(name: str) -> Callable[[Path], object]:
    return lambda path: (path / name).unlink()


def reseal_users(path: Path, **changes: Any) -> None:
    content = json.loads((path / "users.json").read_bytes())
    del content["sha256"]
    (path / "users.json").write_bytes(artifact._sealed({**content, **changes}))


def to_nan(weights: dict[str, torch.Tensor]) -> None:
    weights["model.head.bias"][0] = float("nan")


def other_dim(weights: dict[str, torch.Tensor]) -> None:
    name = "model.branches.0.items.weight"
    weights[name] = weights[name][:, :4].contiguous()


CORRUPTIONS: dict[str, Callable[[Path], object]] = {
    **{f"truncated {name}": truncate(name) for name in FILES},
    **{f"flipped byte in {name}": flip(name) for name in FILES},
    **{f"missing {name}": remove(name) for name in FILES},
    **{f"empty {name}": write(name, b"") for name in FILES},
    "missing folder": shutil.rmtree,
    "not a number among the weights": lambda path: replace_weights(path, to_nan),
    "weights of other dimensions": lambda path: replace_weights(path, other_dim),
    "a weight missing": lambda path: replace_weights(path, lambda w: w.pop("model.head.bias")),
    "a weight too many": lambda path: replace_weights(
        path, lambda w: w.update(extra=torch.zeros(1))
    ),
    "weights of another precision": lambda path: replace_weights(
        path, lambda w: w.update({"model.head.bias": w["model.head.bias"].half()})
    ),
    "other sizes": lambda path: edit_sizes(path, embedding_dim=16),
    "other counts": lambda path: edit_manifest(path, n_users=31),
    "counts that the weights do not have": lambda path: edit_sizes(path, n_items=31),
    "huge counts of the weights": lambda path: edit_sizes(path, n_items=10**12),
    "huge sizes": lambda path: edit_sizes(path, embedding_dim=10**12),
    "huge counts": lambda path: edit_manifest(path, n_items=10**12),
    "a student too many": lambda path: (
        reseal_users(path, user_ids=list(range(31))),
        edit_manifest(path, n_users=31),
    ),
    "sizes that are no numbers": lambda path: edit_manifest(path, n_items="30"),
    "newer format": lambda path: edit_manifest(path, format=3),
    "older format": lambda path: edit_manifest(path, format=1),
    "unknown architecture": lambda path: edit_manifest(path, architecture="bert"),
    "a key missing": lambda path: edit_manifest(path, files={}),
    "version that climbs out": lambda path: edit_manifest(path, version="../v1"),
    "renamed folder": lambda path: edit_manifest(path, version="v2"),
    "manifest that is no object": write("manifest.json", b"[]"),
    "manifest too deep": write("manifest.json", b"[" * 100_000),
    "manifest in another encoding": write("manifest.json", b"\xff\xfe{}"),
    "users of another model": lambda path: reseal_users(path, version="v0"),
    "a user too few": lambda path: reseal_users(path, user_ids=[1, 2]),
    "a user who is no number": lambda path: reseal_users(path, user_ids=["1"] * 30),
    "a user beyond 64 bits": lambda path: reseal_users(path, user_ids=[2**70] * 30),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_corrupt_model_is_refused_in_a_clear_sentence(
    corruption: str, saved: ArtifactInfo
) -> None:
    CORRUPTIONS[corruption](saved.path)
    with pytest.raises(
        CorruptArtifact, match=r"^Le modèle v1 est inutilisable .*\(train_model\)\.$"
    ):
        load(saved.path)


@pytest.fixture(scope="module")
def hybrid(board: Dataset) -> Hybrid:
    model = Hybrid(TrainingConfig(epochs=1, embedding_dim=8))
    model.fit(board, np.random.default_rng(0))
    return model


def narrower(name: str) -> Callable[[Path], object]:
    """All but the last along the last axis."""

    def change(weights: dict[str, torch.Tensor]) -> None:
        weights[f"model.{name}"] = weights[f"model.{name}"][..., :-1].contiguous()

    return lambda path: replace_weights(path, change)


def without_array(name: str) -> Callable[[Path], object]:
    return lambda path: replace_weights(path, lambda weights: weights.pop(f"model.{name}"))


def edit_signals(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def corrupt(path: Path) -> None:
        values = json.loads((path / "manifest.json").read_bytes())["model"]
        change(values["signals"])
        edit_manifest(path, model=values)

    return corrupt


HYBRID_CORRUPTIONS: dict[str, Callable[[Path], object]] = {
    "factors of other dimensions": narrower("ials.items"),
    "counts of fewer épreuves": narrower("popularite.counts"),
    "weights of fewer épreuves": narrower("ease.weights"),
    "a network of other inputs": narrower("fusion.linear.weight"),
    "factors missing": without_array("ials.items"),
    "a layer missing": without_array("fusion.mlp.0.bias"),
    "an array too many": lambda path: replace_weights(
        path, lambda weights: weights.update({"model.ials.extra": torch.zeros(1)})
    ),
    "an array of nothing known": lambda path: replace_weights(
        path, lambda weights: weights.update({"model.lune.extra": torch.zeros(1)})
    ),
    "a signal missing": edit_signals(lambda signals: signals.pop("longueur")),
    "the factors' signal missing": edit_signals(lambda signals: signals.pop("ials")),
    "an unknown signal": edit_signals(lambda signals: signals.update(lune={})),
    "épreuves too many": edit_signals(lambda signals: signals["ials"].update(n_items=31)),
    "a network's name": lambda path: edit_manifest(path, architecture="neumf"),
    "confidences of other names": lambda path: edit_manifest(path, confidence={"pente": 1}),
    "a placement without its arrays": lambda path: edit_manifest(
        path, placement={"vocabulary": {}, "fields": []}
    ),
}


@pytest.mark.parametrize("corruption", HYBRID_CORRUPTIONS)
def test_a_corrupt_hybrid_is_refused_in_a_clear_sentence(
    corruption: str, hybrid: Hybrid, board: Dataset, tmp_path: Path
) -> None:
    saved = save(tmp_path, "v1", hybrid, board, {})
    assert load(saved.path).model.name == "hybrid"
    HYBRID_CORRUPTIONS[corruption](saved.path)
    with pytest.raises(CorruptArtifact, match=r"^Le modèle v1 est inutilisable .*\(train_model\)"):
        load(saved.path)


def test_every_single_flipped_byte_of_the_json_files_is_seen(saved: ArtifactInfo) -> None:
    for name in FILES - {"weights.safetensors"}:
        content = (saved.path / name).read_bytes()
        for position in range(0, len(content), 7):
            flipped = bytearray(content)
            flipped[position] ^= 0x20  # also turns e into E, which JSON numbers do not mind
            (saved.path / name).write_bytes(flipped)
            with pytest.raises(CorruptArtifact):
                load(saved.path)
        (saved.path / name).write_bytes(content)
    assert load(saved.path).model.network.config.n_users == 30


def test_a_whole_model_put_in_the_place_of_another_is_refused(
    tmp_path: Path, saved: ArtifactInfo, board: Dataset
) -> None:
    other = drawn("gmf", board, seed=9)
    intruder = save(tmp_path / "elsewhere", "v1", other, board, {})
    assert load(intruder.path).model.name == "gmf"
    with pytest.raises(CorruptArtifact, match="manifeste"):
        load(intruder.path, sha256=saved.sha256)


# --- Writing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "version", ["", ".", "..", "../v1", "a/b", "/v1", ".cache", "v1\n", "v\0", "é", "x" * 65]
)
def test_a_version_that_is_no_plain_name_is_refused(
    version: str, tmp_path: Path, small_model: Ncf, board: Dataset
) -> None:
    root = tmp_path / "models"
    with pytest.raises(InvalidVersion):
        save(root, version, small_model, board, {})
    assert list(tmp_path.iterdir()) == []


def test_a_version_is_never_overwritten(
    saved: ArtifactInfo, small_model: Ncf, board: Dataset
) -> None:
    before = {file.name: file.read_bytes() for file in saved.path.iterdir()}
    with pytest.raises(VersionExists, match="v1"):
        save(saved.path.parent, "v1", small_model, board, {"note": "un autre"})
    assert {file.name: file.read_bytes() for file in saved.path.iterdir()} == before
    assert [folder.name for folder in saved.path.parent.iterdir()] == ["v1"]


def test_an_empty_folder_of_that_name_is_not_taken_over(
    tmp_path: Path, small_model: Ncf, board: Dataset
) -> None:
    (tmp_path / "v1").mkdir()
    with pytest.raises(VersionExists):
        save(tmp_path, "v1", small_model, board, {})


@pytest.mark.parametrize("failing", ["write", "fsync", "rename"])
def test_a_failure_while_writing_leaves_nothing_behind(
    failing: str,
    tmp_path: Path,
    small_model: Ncf,
    board: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    owner, name = {"write": (Path, "open"), "fsync": (os, "fsync"), "rename": (Path, "rename")}[
        failing
    ]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        with pytest.raises(OSError, match="No space left"):
            save(tmp_path, "v1", small_model, board, {})
    assert list(tmp_path.iterdir()) == []
    assert save(tmp_path, "v1", small_model, board, {}).path.is_dir()


def test_metadata_that_is_no_json_leaves_nothing_behind(
    tmp_path: Path, small_model: Ncf, board: Dataset
) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(tmp_path, "v1", small_model, board, {"ndcg_at_10": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept_once_it_is_old(
    tmp_path: Path, small_model: Ncf, board: Dataset
) -> None:
    old, fresh = tmp_path / ".aside-old", tmp_path / ".aside-fresh"
    for folder in (old, fresh):
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"half")
    os.utime(old, (0, 0))
    save(tmp_path, "v1", small_model, board, {})
    assert {folder.name for folder in tmp_path.iterdir()} == {".aside-fresh", "v1"}


# --- Erasing an account --------------------------------------------------------------------------


def test_erasing_an_account_rewrites_the_users_alone(saved: ArtifactInfo, board: Dataset) -> None:
    before = {file.name: file.read_bytes() for file in saved.path.iterdir()}
    erased = int(board.user_ids[3])
    assert knows_user(saved.path, erased)
    users = forget_users(saved.path, set(board.user_ids.tolist()) - {erased})
    after = {file.name: file.read_bytes() for file in saved.path.iterdir()}
    assert {name for name in FILES if before[name] != after[name]} == {"users.json"}
    assert hashlib.sha256(after["users.json"]).hexdigest() == users != saved.users_sha256
    assert str(erased).encode() not in after["users.json"]
    assert not knows_user(saved.path, erased)
    loaded = load(saved.path, sha256=saved.sha256)
    assert loaded.user_ids[3] == artifact.ERASED
    assert np.array_equal(np.delete(loaded.user_ids, 3), np.delete(board.user_ids, 3))


def test_who_wrote_a_model_is_still_known_when_its_users_are_forgotten(
    tmp_path: Path, small_model: Ncf, board: Dataset
) -> None:
    written = save(tmp_path, "v1", small_model, board, {}, writer="entraînement 3")
    forget_users(written.path, set())
    assert writer_of(written.path) == "entraînement 3"


def test_where_everybody_is_known_nothing_is_written(saved: ArtifactInfo, board: Dataset) -> None:
    before = (saved.path / "users.json").stat().st_mtime_ns
    everybody = {*board.user_ids.tolist(), 999_999, artifact.ERASED}
    assert forget_users(saved.path, everybody) == saved.users_sha256
    assert (saved.path / "users.json").stat().st_mtime_ns == before


def test_what_a_killed_erasure_left_beside_goes_with_the_next(
    saved: ArtifactInfo, board: Dataset
) -> None:
    left = saved.path / ".aside-users.json"
    left.write_bytes((saved.path / "users.json").read_bytes())
    forget_users(saved.path, set(board.user_ids.tolist()))
    assert not left.exists()


def test_users_that_changed_since_are_said_to_be_corrupt(saved: ArtifactInfo) -> None:
    (saved.path / "users.json").write_bytes(b"{}")
    with pytest.raises(CorruptArtifact):
        forget_users(saved.path, set())
    with pytest.raises(CorruptArtifact):
        knows_user(saved.path, 1000)


def test_the_models_of_a_folder_are_those_that_were_finished(
    saved: ArtifactInfo, tmp_path: Path
) -> None:
    root = saved.path.parent
    for name in (".aside-fresh", "notes"):
        (root / name).mkdir()
    (root / ".aside-fresh" / "users.json").write_bytes(b"{}")
    assert folders(root) == [saved.path]
    assert folders(tmp_path / "nowhere") == []
