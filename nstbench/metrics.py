"""Every picture metric of the registry as a ``torchmetrics.Metric``.

```python
from nstbench.metrics import UniversalErrorFactor

uef = UniversalErrorFactor()                  # .to("cuda") as with any torchmetrics metric
for output, content, style in batches:        # float RGB (B, 3, H, W) in [0, 1]
    uef.update(output, content, style)
uef.compute()                                 # float64 mean over all outputs
```

The classes have the names of the plug-in classes and call them for the arithmetic
(:mod:`nstbench.score.torchmetrics_adapter`). Plug-in files that were added to the registry are
included. A plug-in is imported when its class is first used. Timing metrics are not included,
because they read a timing record and no pictures.
"""

from __future__ import annotations

from typing import Any

from nstbench.core.errors import did_you_mean


def metric_class(name: str) -> type[Any]:
    """Return the torchmetrics class of a metric by its name in the registry.

    Raises:
        UsageError: if the name is unknown, or the metric reads timing records.
        PluginError: if its file cannot be imported.

    Example:
        >>> metric_class("ssim").__name__
        'Ssim'
    """
    from nstbench.score.torchmetrics_adapter import standalone_class

    return standalone_class(name, __name__)


def __getattr__(name: str) -> Any:
    """Return the class of a metric plug-in, made on first use."""
    if name.startswith("_"):
        raise AttributeError(f"module 'nstbench.metrics' has no attribute '{name}'")
    from nstbench.score.torchmetrics_adapter import class_names

    metric_of = class_names()
    if name not in metric_of:
        hint = did_you_mean(name, metric_of)
        raise AttributeError(f"nstbench.metrics has no metric class '{name}'.{hint}")
    return metric_class(metric_of[name])


def __dir__() -> list[str]:
    """Return the names of the classes and functions of this module."""
    from nstbench.score.torchmetrics_adapter import class_names

    return sorted([*class_names(), "metric_class"])
