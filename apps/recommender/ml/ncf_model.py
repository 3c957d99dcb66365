"""Neural collaborative filtering (He et al. 2017): GMF, MLP, and NeuMF that fuses both.

Shapes: B users or pairs, N items of the catalogue, D embedding_dim, H a branch's output width.
"""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from apps.recommender.ml.architectures import ARCHITECTURES
from apps.recommender.ml.config import ModelConfig
from apps.recommender.ml.data_loader import FloatArray, IntArray
from apps.recommender.ml.errors import UnknownUser
from apps.recommender.ml.metadata import Traits
from apps.recommender.ml.model import NO_TRAITS

_CELLS_AT_ONCE = 2**17  # of B·N·D when scoring a catalogue: 512 KB, which a core's own cache holds


class Branch(nn.Module):
    """Two embedding tables of its own, [n_users, D] and [N, D], and what becomes of a pair."""

    width: int  # H

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.users = nn.Embedding(config.n_users, config.embedding_dim)
        self.items = nn.Embedding(config.n_items, config.embedding_dim)

    @abstractmethod
    def forward(self, user_idx: Tensor, item_idx: Tensor) -> Tensor:
        """user_idx [B], item_idx [B] -> features [B, H]."""

    @abstractmethod
    def item_half(self) -> Tensor:
        """What scoring needs of the items whoever the user is, [N, D]."""

    @abstractmethod
    def score_all(self, user_idx: Tensor, item_half: Tensor, head: Tensor) -> Tensor:
        """user_idx [B], item_half [N, D], head [H] -> features · head for every item, [B, N]."""


class GMFBranch(Branch):
    """p_u ⊙ q_i (eq. 8 and 9)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.width = config.embedding_dim

    def forward(self, user_idx: Tensor, item_idx: Tensor) -> Tensor:
        product: Tensor = self.users(user_idx) * self.items(item_idx)
        return product

    def item_half(self) -> Tensor:
        return self.items.weight

    def score_all(self, user_idx: Tensor, item_half: Tensor, head: Tensor) -> Tensor:
        scores: Tensor = (self.users(user_idx) * head) @ item_half.T
        return scores


class MLPBranch(Branch):
    """A halving tower over [p_u; q_i] (eq. 10): 2D -> D -> D/2 -> D/4, each followed by a ReLU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        d = config.embedding_dim
        sizes = [max(1, d // 2**halvings) for halvings in range(3)]
        self.first = nn.Linear(2 * d, sizes[0])
        self.rest = nn.Sequential(nn.ReLU(inplace=True))
        for size_in, size_out in pairwise(sizes):
            self.rest.extend([nn.Linear(size_in, size_out), nn.ReLU(inplace=True)])
        self.width = sizes[-1]

    def forward(self, user_idx: Tensor, item_idx: Tensor) -> Tensor:
        if len(user_idx) > len(self.users.weight) + len(self.items.weight):
            # More pairs than rows: once per row is less work than once per pair.
            users, items = self.user_half(self.users.weight), self.item_half()
            hidden = embedding(user_idx, users) + embedding(item_idx, items)  # [B, D]
        else:
            pair = torch.cat([self.users(user_idx), self.items(item_idx)], dim=-1)  # [B, 2D]
            hidden = self.first(pair)
        features: Tensor = self.rest(hidden)
        return features

    def user_half(self, rows: Tensor) -> Tensor:
        """W_u·p_u + b of embeddings [B, D]: the first layer is linear, W·[p; q] = W_u·p + W_i·q."""
        weight, _ = self.first.weight.chunk(2, dim=1)
        return rows @ weight.T + self.first.bias

    def item_half(self) -> Tensor:
        """W_i·q_i, the other half of the first layer."""
        _, weight = self.first.weight.chunk(2, dim=1)
        return self.items.weight @ weight.T

    def score_all(self, user_idx: Tensor, item_half: Tensor, head: Tensor) -> Tensor:
        user_half = self.user_half(self.users(user_idx))  # [B, D]
        rows = max(1, _CELLS_AT_ONCE // user_half.numel())
        chunks = [
            self.rest(user_half[:, None] + items) @ head  # [B, rows, D] -> [B, rows]
            for items in torch.split(item_half, rows)
        ]
        return torch.cat(chunks, dim=1)


BRANCHES: dict[str, type[Branch]] = {"gmf": GMFBranch, "mlp": MLPBranch}


class NCF(nn.Module):
    """The branches of an architecture side by side, fused by one linear head (eq. 12).

    The weights are drawn from `seed` alone: N(0, .01) for embeddings as in the paper, Glorot for
    layers, 0 for biases.
    """

    def __init__(self, config: ModelConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        names = ARCHITECTURES[config.architecture]
        self.branches: Sequence[Branch] = nn.ModuleList([BRANCHES[name](config) for name in names])  # type: ignore[assignment]
        self.head = nn.Linear(sum(branch.width for branch in self.branches), 1)
        self._initialise(torch.Generator().manual_seed(seed))

    @classmethod
    def fused(cls, config: ModelConfig, parts: "Sequence[NCF]") -> Self:
        """The architecture whose branches are those of `parts`, trained one by one, in order.

        Its logit is the mean of theirs: h = [α·h_gmf ; (1 - α)·h_mlp] with α = 1/2, and so for the
        bias (He et al. 2017, 3.4.1).
        """
        model = cls(config)
        share = 1 / len(parts)
        with torch.no_grad():
            for branch, part in zip(model.branches, parts, strict=True):
                branch.load_state_dict(part.branches[0].state_dict())
            model.head.weight.copy_(torch.cat([part.head.weight * share for part in parts], dim=1))
            model.head.bias.copy_(torch.stack([part.head.bias for part in parts]).mean(dim=0))
        return model.to(parts[0].head.weight.device)

    def forward(self, user_idx: Tensor, item_idx: Tensor) -> Tensor:
        """user_idx [B], item_idx [B] -> logits [B]; their sigmoid is a probability."""
        parts = [
            branch(user_idx, item_idx) @ head
            for branch, head in zip(self.branches, self._heads(), strict=True)
        ]
        return torch.stack(parts).sum(dim=0) + self.head.bias

    def item_halves(self) -> list[Tensor]:
        """What `score_all` needs of the items, [N, D] per branch; worth keeping when serving."""
        return [branch.item_half() for branch in self.branches]

    def score_all(self, user_idx: Tensor, item_halves: list[Tensor] | None = None) -> Tensor:
        """user_idx [B] -> logits of every item [B, N], equal to `forward` on each pair."""
        halves = item_halves or self.item_halves()
        parts = [
            branch.score_all(user_idx, half, head)
            for branch, half, head in zip(self.branches, halves, self._heads(), strict=True)
        ]
        return torch.stack(parts).sum(dim=0) + self.head.bias

    def _heads(self) -> tuple[Tensor, ...]:
        """The weights [H] that each branch has in the head."""
        widths = [branch.width for branch in self.branches]
        return torch.split(self.head.weight[0], widths)

    def _initialise(self, generator: torch.Generator) -> None:
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.01, generator=generator)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)


class NCFScorer:
    """A network at work; the item halves are computed once, so its weights may not change after.

    It knows students by their row alone: what they did since the training changes nothing.
    """

    def __init__(self, network: NCF) -> None:
        self._network = network
        self._device = network.head.weight.device
        with torch.inference_mode():
            self._item_halves = network.item_halves()

    def scores(
        self,
        history_items: IntArray,
        history_weights: FloatArray,
        user_idx: int | None,
        traits: Traits = NO_TRAITS,
    ) -> FloatArray:
        """The logits of all items, float32[n_items]; raises UnknownUser without a row."""
        if user_idx is None:
            raise UnknownUser(
                "Ce modèle ne connaît un étudiant que par sa ligne d'embeddings, et celui-ci n'en "
                "a pas : réentraînez (train_model)."
            )
        row = torch.tensor([user_idx], device=self._device)
        with torch.inference_mode():
            logits: FloatArray = self._network.score_all(row, self._item_halves)[0].cpu().numpy()
        return logits
