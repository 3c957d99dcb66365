import pytest
import torch
from torch import nn

from apps.recommender.ml.architectures import ARCHITECTURES
from apps.recommender.ml.config import ModelConfig
from apps.recommender.ml.errors import UnknownArchitecture
from apps.recommender.ml.ncf_model import NCF

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
USERS = torch.tensor([0, 0, 1, 1])
ITEMS = torch.tensor([0, 1, 0, 1])


def tiny(architecture: str) -> NCF:
    """Two users, two items, D = 2: a tower of 4 -> 2 -> 1 -> 1."""
    return NCF(ModelConfig(architecture, 2, 2, 2))


def set_weights(model: NCF, **weights: list[float] | list[list[float]]) -> None:
    """`branches_0_users_weight=[[1, 2], [3, 4]]`…"""
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    for name in state:
        key = name.replace(".", "_")
        if key in weights:
            state[name] = torch.tensor(weights.pop(key), dtype=torch.float32)
    assert not weights
    model.load_state_dict(state)


def test_gmf_by_hand() -> None:
    model = tiny("gmf")
    set_weights(
        model,
        branches_0_users_weight=[[1, 2], [3, -1]],
        branches_0_items_weight=[[5, 1], [0, 2]],
        head_weight=[[2, 10]],
        head_bias=[0.5],
    )
    # 2·p₁q₁ + 10·p₂q₂ + 0.5
    assert model(USERS, ITEMS).tolist() == [30.5, 40.5, 20.5, -19.5]


# First layer: [p₁ + q₁, p₂ − q₂ + 1]; then h = 2a + b, then 3h − 4, each behind a ReLU.
TOWER = {
    "first_weight": [[1, 0, 1, 0], [0, 1, 0, -1]],
    "first_bias": [0, 1],
    "rest_1_weight": [[2, 1]],
    "rest_3_weight": [[3]],
    "rest_3_bias": [-4],
    "users_weight": [[1, 2], [3, -1]],
    "items_weight": [[-5, 1], [0, 2]],
}


def tower(branch: int) -> dict[str, list[float] | list[list[float]]]:
    return {f"branches_{branch}_{name}": value for name, value in TOWER.items()}


def test_mlp_by_hand() -> None:
    model = tiny("mlp")
    set_weights(model, **tower(0), head_weight=[[10]], head_bias=[1])
    # (0, 0): [-4, 2] -> [0, 2] -> 2 -> 2 -> 21      (0, 1): [1, 1] -> 3 -> 5 -> 51
    # (1, 0): [-2, -1] -> [0, 0] -> 0 -> 0 -> 1      (1, 1): [3, -2] -> [3, 0] -> 6 -> 14 -> 141
    assert model(USERS, ITEMS).tolist() == [21, 51, 1, 141]


def test_neumf_by_hand_fuses_both_with_embeddings_of_their_own() -> None:
    model = tiny("neumf")
    set_weights(
        model,
        branches_0_users_weight=[[1, 2], [3, -1]],
        branches_0_items_weight=[[5, 1], [0, 2]],
        **tower(1),
        head_weight=[[2, 10, 10]],
        head_bias=[1],
    )
    gmf, mlp = [30, 40, 20, -20], [20, 50, 0, 140]
    assert model(USERS, ITEMS).tolist() == [a + b + 1 for a, b in zip(gmf, mlp, strict=True)]


@every_architecture
@pytest.mark.parametrize("cells", [1, 100, 2**21])
def test_scoring_the_catalogue_equals_scoring_each_pair(
    architecture: str, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.recommender.ml.ncf_model._CELLS_AT_ONCE", cells)
    model = NCF(ModelConfig(architecture, 5, 7, 8), seed=2)
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(4))
    users = torch.tensor([4, 0, 2])
    pairwise = model(users.repeat_interleave(7), torch.arange(7).repeat(3)).reshape(3, 7)
    torch.testing.assert_close(model.score_all(users), pairwise)
    torch.testing.assert_close(model.score_all(users, model.item_halves()), pairwise)


@every_architecture
def test_many_pairs_and_few_have_the_same_logits(architecture: str) -> None:
    model = NCF(ModelConfig(architecture, 5, 7, 8), seed=2)
    users, items = torch.arange(35) // 7, torch.arange(35) % 7
    one_by_one = torch.cat([model(users[[row]], items[[row]]) for row in range(35)])
    torch.testing.assert_close(model(users, items), one_by_one)


def test_fusing_two_trained_parts_gives_the_mean_of_their_logits() -> None:
    parts = [NCF(ModelConfig(name, 5, 7, 8), seed=2) for name in ARCHITECTURES["neumf"]]
    for number, part in enumerate(parts):
        for parameter in part.parameters():
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))
    users, items = torch.arange(35) // 7, torch.arange(35) % 7
    fused = NCF.fused(ModelConfig("neumf", 5, 7, 8), parts)
    mean = (parts[0](users, items) + parts[1](users, items)) / 2
    torch.testing.assert_close(fused(users, items), mean)


@every_architecture
def test_one_seed_gives_one_set_of_weights(architecture: str) -> None:
    config = ModelConfig(architecture, 4, 6, 8)
    first, same, other = (NCF(config, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


@pytest.mark.parametrize("dim", [1, 2, 3, 64])
def test_the_tower_halves(dim: int) -> None:
    model = NCF(ModelConfig("mlp", 2, 2, dim))
    layers = [layer for layer in model.branches[0].modules() if isinstance(layer, nn.Linear)]
    sizes = [layer.in_features for layer in layers] + [layers[-1].out_features]
    assert sizes == [2 * dim, dim, max(1, dim // 2), max(1, dim // 4)]


def test_an_unknown_architecture_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(UnknownArchitecture, match="gmf, mlp, neumf"):
        ModelConfig("transformer", 2, 2, 2)
