"""Every picture metric of the registry as a ``torchmetrics.Metric``, usable alone.

```python
from nstbench.metrics import UniversalErrorFactor

uef = UniversalErrorFactor()                  # .to("cuda") as with any torchmetrics metric
for output, content, style in batches:        # float RGB (B, 3, H, W) in [0, 1]
    uef.update(output, content, style)
uef.compute()                                 # float64 mean over all outputs
```

The classes carry the names of the plug-ins' own classes and do their arithmetic by calling
them (:mod:`nstbench.score.torchmetrics_adapter`), so a plug-in file added to the registry is here, too.
Nothing is imported before a class is asked for. Timing metrics read a timing record instead
of pictures and are not among these.
"""

from __future__ import annotations

from typing import Any

from nstbench.core.errors import did_you_mean


def metric_class(name: str) -> type[Any]:
    """Return the torchmetrics class of a metric by its name in the registry (``"uef"``).

    Raises:
        UsageError: if there is no such metric, or it reads timing records.
        PluginError: if its file cannot be imported.
    """
    from nstbench.score.torchmetrics_adapter import standalone_class

    return standalone_class(name, __name__)


def __getattr__(name: str) -> Any:
    """Make the class of a metric plug-in when it is first asked for."""
    if name.startswith("_"):
        raise AttributeError(f"module 'nstbench.metrics' has no attribute '{name}'")
    from nstbench.score.torchmetrics_adapter import class_names

    known = class_names()
    if name not in known:
        hint = did_you_mean(name, known)
        raise AttributeError(f"nstbench.metrics has no metric class '{name}'.{hint}")
    return metric_class(known[name])


def __dir__() -> list[str]:
    """Name the classes that there are."""
    from nstbench.score.torchmetrics_adapter import class_names

    return sorted([*class_names(), "metric_class"])
