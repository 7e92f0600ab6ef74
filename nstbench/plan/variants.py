"""Variants and cards: methods with checked parameters, metrics and datasets with their state."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, get_args

from nstbench.contracts import Method
from nstbench.contracts.metrics import Preset
from nstbench.core.cards import MethodCard, MetricCard, WeightCard
from nstbench.core.errors import UsageError, WeightsError, did_you_mean
from nstbench.core.records import Availability, Scope
from nstbench.plan.config import MethodSpec, RunConfig, parse_named
from nstbench.plugins import registry
from nstbench.plugins.params import check_params

if TYPE_CHECKING:
    from nstbench.contracts import Weight


@dataclass(frozen=True, eq=False)
class Variant:
    """A method with its parameters; ``method`` is ``None`` if the plug-in cannot be loaded."""

    card: MethodCard
    method: Method | None

    @property
    def given(self) -> dict[str, Any]:
        """Parameters that the user or the suite gave, to make the method in another process.

        Other parameters take their defaults there, or the values of a checkpoint.
        """
        if self.method is None:
            return dict(self.card.params)
        params: dict[str, Any] = self.method.params.model_dump(mode="json", exclude_unset=True)
        return params


def add_configured(config: RunConfig) -> None:
    """Register the plug-in files and programs that a configuration names.

    Raises:
        UsageError: if a file is not a plug-in, or a program has the name of a method.
    """
    for file in config.plugins:
        registry.add_file(file)
    for program in config.programs:
        registry.add_program(program)


def resolve_methods(config: RunConfig) -> list[Variant]:
    """Return the variants to run; a plug-in that cannot be loaded is a variant without a method.

    Raises:
        UsageError: for unknown names, unknown or invalid parameters, and equal labels.
    """
    specs = _study_specs(config)
    given = (MethodSpec(name="all"),) if config.methods == "all" else config.methods
    for spec in given:
        specs += _all_specs() if spec.name == "all" else [spec]
    for name in config.method_params:
        registry.find("methods", name)
    variants = [make_variant(spec, config.method_params.get(spec.name, {})) for spec in specs]
    labels = [variant.card.method for variant in variants]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise UsageError(f"--methods: '{twice[0]}' is named twice. Give one of them a label.")
    return variants


def _all_specs() -> list[MethodSpec]:
    """Return each method of the registry with its defaults, and with its further settings."""
    specs = []
    for name in registry.names("methods"):
        specs.append(MethodSpec(name=name))
        with contextlib.suppress(registry.PluginError):
            settings = registry.load("methods", name).further_settings
            specs += [MethodSpec(name=name, params=dict(params)) for params in settings]
    return specs


def _study_specs(config: RunConfig) -> list[MethodSpec]:
    if config.study is None:
        return []
    method = config.study.method
    return [
        MethodSpec(name=method, params=dict(variant.params), label=variant.label)
        for variant in config.study.variants()
    ]


def make_variant(spec: MethodSpec, suite_params: Mapping[str, Any]) -> Variant:
    """Check a method's parameters and describe it.

    Raises:
        UsageError: if the method is unknown or a parameter unknown or invalid.
    """
    try:
        cls = registry.load("methods", spec.name)
    except registry.PluginError as error:
        return Variant(_broken_card(spec, str(error)), None)
    params = check_params(cls.Params, {**suite_params, **spec.params}, f"method '{spec.name}'")
    method: Method = cls(params)
    info = method.info
    card = MethodCard(
        method=spec.board_label,
        plugin=spec.name,
        title=info.title,
        authors=info.authors,
        year=info.year,
        paper=info.paper,
        code=info.code,
        family=info.family,
        flexibility=str(info.flexibility),
        licence=info.licence,
        trained_on=method.trained_on(),
        deviations=info.deviations,
        params=params.model_dump(mode="json"),
        defaults=cls.Params().model_dump(mode="json"),
        weights=tuple(_weight_card(weight) for weight in method.required_weights()),
        availability=_availability(method.required_packages(), method.required_weights()),
    )
    return Variant(card, method)


def _weight_card(weight: Weight) -> WeightCard:
    """Describe a weight file; its checksum is empty if it is missing and not pinned."""
    from nstbench.nn.weights import cache as weights

    try:
        here = weights.availability(weight).ok
        sha256 = weights.checksum(weight) if here else weight.sha256
    except WeightsError:
        sha256 = weight.sha256
    return WeightCard(weight.name, sha256, weight.licence, weight.origin)


def metric_cards(wanted: Iterable[str] | str) -> dict[str, MetricCard]:
    """Return the cards of the wanted metrics in table order.

    Args:
        wanted: ``"all"``, or names of metrics and presets.

    Raises:
        UsageError: if a name is unknown.
    """
    if wanted == "all":
        names = registry.names("metrics")
    else:
        names = [name for word in wanted for name in _members(word)]
    cards = [metric_card(name) for name in dict.fromkeys(names)]
    return {card.name: card for card in sorted(cards, key=lambda c: (c.order, c.name))}


def _members(word: str) -> list[str]:
    """Return the metrics of a preset; any other word is the name of a metric.

    Timing metrics belong to every preset: presets choose among metrics of pictures.
    """
    if word not in get_args(Preset):
        return [word]
    found = []
    for name in registry.names("metrics"):
        try:
            info = registry.load("metrics", name).info
        except registry.PluginError:
            continue
        if info.scope == Scope.TIMING or word in info.presets:
            found.append(name)
    return found


def metric_card(name: str) -> MetricCard:
    """Describe a metric; one that cannot be imported is unavailable, with the reason."""
    try:
        info = registry.load("metrics", name).info
    except registry.PluginError as error:
        return MetricCard(
            name=name, title=name, scope="pair", higher_is_better=False, range=(0.0, 0.0), unit="",
            citation="", description="", version=0, home_for=(), role="", order=10_000,
            availability=Availability(False, str(error), "fix the plug-in"),
        )  # fmt: skip
    needed = metric_weights(info)
    return MetricCard(
        name=name,
        title=info.title,
        scope=str(info.scope),
        higher_is_better=info.higher_is_better,
        range=info.range,
        unit=info.unit,
        citation=info.citation,
        description=info.description,
        version=info.version,
        home_for=info.home_for,
        role=info.role,
        order=info.order,
        availability=_availability(info.requires, needed),
        weights=tuple(_weight_card(weight) for weight in needed),
        networks=tuple(dict.fromkeys(need.network for need in info.features)),
        ideal=info.ideal or "",
    )


def metric_weights(info: Any) -> tuple[Any, ...]:
    """Return the weights of a metric: its own and those of the networks that it reads."""
    from nstbench.nn.backbones.load import backbone_weight

    networks = dict.fromkeys(need.network for need in info.features)
    return (*info.weights, *(backbone_weight(network) for network in networks))


def _availability(requires: Iterable[str], needed: Iterable[Any]) -> Availability:
    from nstbench.nn.weights import cache as weights

    for package in requires:
        spec = importlib.util.find_spec(package)
        # a folder without __init__.py, such as `datasets` here, has a spec without origin
        if spec is None or spec.origin is None:
            return Availability(
                False, f"the package '{package}' is not installed", f"pip install {package}"
            )
    for weight in needed:
        state = weights.availability(weight)
        if not state.ok:
            return state
    return Availability()


def _broken_card(spec: MethodSpec, reason: str) -> MethodCard:
    return MethodCard(
        method=spec.board_label, plugin=spec.name, title=spec.name, authors="", year=0, paper="",
        code="", family="", flexibility="", licence="", trained_on=(), deviations=(),
        params=spec.params, defaults={}, weights=(),
        availability=Availability(False, reason, "fix the plug-in"),
    )  # fmt: skip


def open_dataset(text: str, option: str) -> Any:
    """Return the dataset of an option: a registry name or a path.

    An existing path is opened as a path, even if it contains a colon.

    Raises:
        UsageError: if it is neither, or its parameters are wrong, or it is unavailable.
    """
    known = registry.names("datasets")
    name, params = text, {}
    path = Path(text).expanduser()
    if text not in known:
        if path.exists():
            name, params = _path_dataset(known), {"path": str(path.resolve())}
        elif text.partition(":")[0] not in known:
            raise UsageError(_no_dataset(text, option, known))
        else:
            name, params = _named_dataset(text, option)
    cls = registry.load("datasets", name)
    dataset = cls(check_params(cls.Params, params, f"dataset '{name}'"))
    state = dataset.availability()
    if not state.ok:
        fix_for = f" {state.remedy}" if state.remedy else ""
        raise UsageError(f"{option} {text}: {state.reason}.{fix_for}")
    return dataset


def _named_dataset(text: str, option: str) -> tuple[str, dict[str, Any]]:
    try:
        return parse_named(text)
    except ValueError as error:
        name = text.partition(":")[0]
        raise UsageError(
            f"{option} {text}: {error}. Write {name}:parameter=value, or folder:path=FOLDER for a "
            "folder whose name has a colon."
        ) from None


def _no_dataset(text: str, option: str, known: Sequence[str]) -> str:
    """Return the message for a text that is neither a path nor the name of a dataset."""
    name = text.partition(":")[0]
    hint = "" if _looks_like_a_path(text) else did_you_mean(name, known)
    return (
        f"{option} {text}: neither a dataset nor an existing folder.{hint} "
        f"Datasets: {', '.join(known)}. A folder may also be given as folder:path=FOLDER."
    )


def _looks_like_a_path(text: str) -> bool:
    return "/" in text or "\\" in text or PureWindowsPath(text).drive != ""


def _path_dataset(known: Iterable[str]) -> str:
    for name in known:
        try:
            if registry.load("datasets", name).info.opens_paths:
                return name
        except registry.PluginError:
            continue
    raise UsageError("No dataset plug-in opens folders.")
