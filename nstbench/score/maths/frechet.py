"""The Frechet distance between two sets of feature vectors, from mergeable sums.

Dowson and Landau, "The Frechet distance between multivariate normal distributions", J.
Multivariate Analysis 12 (1982); as a score of generated pictures: Heusel et al.,
arXiv 1706.08500.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nstbench.core.errors import NoValueError


@dataclass(slots=True)
class GaussianSums:
    """Running float64 sums over feature vectors: n, sum x, sum x x^T.

    Example:
        >>> sums = GaussianSums.of(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        >>> sums.n, sums.mean().tolist()
        (2, [1.0, 1.0])
    """

    n: int
    total: torch.Tensor
    outer: torch.Tensor

    @classmethod
    def empty(cls, dimension: int) -> GaussianSums:
        """Return the sums over no vectors."""
        zeros = torch.zeros(dimension, dtype=torch.float64)
        return cls(0, zeros, torch.outer(zeros, zeros))

    @classmethod
    def of(cls, vectors: torch.Tensor) -> GaussianSums:
        """Return the sums over vectors (B, D)."""
        sums = cls.empty(vectors.shape[1])
        sums.update(vectors)
        return sums

    def update(self, vectors: torch.Tensor) -> None:
        """Add vectors (B, D)."""
        rows = vectors.detach().to("cpu", torch.float64)
        self.n += len(rows)
        self.total = self.total + rows.sum(dim=0)
        self.outer = self.outer + rows.T @ rows

    def merge(self, other: GaussianSums) -> None:
        """Add the sums of another worker."""
        self.n += other.n
        self.total = self.total + other.total
        self.outer = self.outer + other.outer

    def mean(self) -> torch.Tensor:
        """Return the mean (D,)."""
        return self.total / self.n

    def covariance(self) -> torch.Tensor:
        """Return the unbiased covariance (D, D).

        Raises:
            NoValueError: if there are fewer than two vectors.
        """
        if self.n < 2:
            raise NoValueError(f"a covariance needs at least two pictures, got {self.n}")
        mean = self.mean()
        return (self.outer - self.n * torch.outer(mean, mean)) / (self.n - 1)


def frechet_distance(first: GaussianSums, second: GaussianSums) -> float:
    """Return |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)); zero for equal distributions.

    (S1 S2)^(1/2) has the same trace as (S1^(1/2) S2 S1^(1/2))^(1/2), whose argument is symmetric.
    Its root is real and stable for singular covariances, too; covariances are singular for fewer
    pictures than dimensions.

    Raises:
        NoValueError: if a set has fewer than two vectors.
    """
    s1, s2 = first.covariance(), second.covariance()
    means = (first.mean() - second.mean()).square().sum()
    # The difference of nearly equal numbers may round to just below zero.
    return max(0.0, float(means + covariance_distance(s1, s2, symmetric_root(s1))))


def symmetric_root(covariance: torch.Tensor) -> torch.Tensor:
    """Return S^(1/2) of positive semi-definite matrices (..., D, D)."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()[..., None, :]) @ vectors.mT


def covariance_distance(s1: torch.Tensor, s2: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
    """Return tr(S1 + S2 - 2 (S1 S2)^(1/2)) of matrices (..., D, D), given the root of S1."""
    roots = torch.linalg.eigvalsh(root @ s2 @ root).clamp(min=0).sqrt()
    traces = (s1 + s2).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return traces - 2 * roots.sum(dim=-1)
