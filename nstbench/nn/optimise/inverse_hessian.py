"""The inverse Hessian of L-BFGS as a few matrix products, all of them on the device.

The two loops of the usual recursion are 80 operations one after the other for a history of 20. The
compact form of the same matrix (Byrd, Nocedal and Schnabel, "Representations of quasi-Newton
matrices and their use in limited memory methods", 1994, theorem 2.2) needs two passes over the
history. With steps S, changes of the gradient Y, and

    R = the upper triangle of S^T Y,   D = the diagonal of S^T Y,   c = s^T y / y^T y (latest),

the direction is

    -c g - S R^-T ((D + c Y^T Y) R^-1 S^T g - c Y^T g) + c Y R^-1 S^T g.

R^-1 grows by a column per step. Dropping the oldest step drops its row and column, which leaves
the rest of R^-1 as it is. The history is a ring, and R^-1 is zero in the row and column of
the place that is written next, so no entry has to move.
"""

from __future__ import annotations

import torch

# torch's limit, below which a step has too little curvature to be used
_LEAST_CURVATURE = 1e-10
# Products over this many numbers are computed in float32, and added up in float64.
_CHUNK = 4096


class InverseHessian:
    """Steps and changes of the gradient, and the direction that follows from them.

    All tensors stay where they are, so a CUDA graph can replay :meth:`update`.

    Attributes:
        direction: where to go from the present point, float32 (n,).
        gradient: the gradient at the present point, float32 (n,).

    Args:
        size: n, number of unknowns.
        history: number of steps that are kept.
        device: device of all tensors.
    """

    def __init__(self, size: int, history: int, device: torch.device) -> None:
        places = history + 1
        self._places = places
        padded = -(-size // _CHUNK) * _CHUNK

        def zeros(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self._ring = zeros(2 * places, padded, dtype=torch.float32)
        self._latest = zeros(3, padded, dtype=torch.float32)
        self._direction = zeros(padded, dtype=torch.float32)
        self.direction, self.gradient = self._direction[:size], self._latest[2, :size]
        self._step, self._change = self._latest[0, :size], self._latest[1, :size]
        self._solved = zeros(places, places)
        self._changes = zeros(places, places)
        self._curvatures = zeros(places)
        self._first = zeros(1)
        self._next = zeros(1, dtype=torch.int64)
        self._all = torch.arange(places, device=device)
        self._pair = torch.arange(2, device=device) * places

    def start(self, gradient: torch.Tensor | None = None) -> None:
        """Forget all steps; go down the gradient, or stay if there is none."""
        for tensor in (
            self._ring, self._latest, self._direction, self._solved, self._changes,
            self._curvatures, self._next,
        ):  # fmt: skip
            tensor.zero_()
        self._first.fill_(1.0)
        if gradient is not None:
            self.gradient.copy_(gradient)
            torch.neg(gradient, out=self.direction)

    def update(self, gradient: torch.Tensor, step: torch.Tensor) -> None:
        """Note that ``step`` (0-d) times the direction led to ``gradient``; find a new direction.

        A step with too little curvature is not kept.
        """
        torch.mul(self.direction, step, out=self._step)
        torch.sub(gradient, self.gradient, out=self._change)
        self.gradient.copy_(gradient)
        here = self._next + self._pair
        self._ring.index_copy_(0, here, self._latest[:2])
        products = self._products()
        of_steps, of_changes = products[: self._places], products[self._places :]
        (curvature, _), (square, _) = products.index_select(0, here).unbind(0)
        self._append(of_steps[:, 0], of_changes[:, 0], curvature, square)
        self._turn(of_steps[:, 1], of_changes[:, 1])

    def _products(self) -> torch.Tensor:
        """Return products of all steps and changes with the latest change and the gradient."""
        ring = self._ring.unflatten(1, (-1, _CHUNK)).transpose(0, 1)
        latest = self._latest[1:].unflatten(1, (-1, _CHUNK)).permute(1, 2, 0)
        return torch.bmm(ring, latest).sum(dim=0, dtype=torch.float64)

    def _append(
        self,
        of_steps: torch.Tensor,
        of_changes: torch.Tensor,
        curvature: torch.Tensor,
        square: torch.Tensor,
    ) -> None:
        """Add a column to R^-1, unless the latest step has too little curvature.

        Args:
            of_steps: products of all steps with the latest change.
            of_changes: products of all changes with it.
            curvature: product of the latest step and change, 0-d.
            square: square of the latest change, 0-d.
        """
        kept = curvature > _LEAST_CURVATURE
        place = (self._all == self._next).double()
        column = (place - torch.mv(self._solved, of_steps)) / curvature
        self._solved.addcmul_(torch.where(kept, column, 0.0)[:, None], place)
        self._changes.index_copy_(0, self._next, of_changes[None])
        self._changes.index_copy_(1, self._next, of_changes[:, None])
        self._curvatures.index_copy_(0, self._next, curvature[None])
        self._first.copy_(torch.where(kept, curvature / square, self._first))
        # the oldest step is dropped where the next one will be written
        self._next.add_(kept).remainder_(self._places)
        others = (self._all != self._next).double()
        self._solved.mul_(others).mul_(others[:, None])

    def _turn(self, of_steps: torch.Tensor, of_changes: torch.Tensor) -> None:
        """Find the direction from the products of all steps and changes with the gradient."""
        inner = torch.mv(self._solved, of_steps)
        bracket = torch.mv(self._changes, inner).sub_(of_changes).mul_(self._first)
        outer = torch.mv(self._solved.T, bracket.addcmul_(self._curvatures, inner))
        weights = torch.cat([-outer, self._first * inner]).float()
        torch.mv(self._ring.T, weights, out=self._direction)
        self._direction.addcmul_(self._latest[2], -self._first.float())
