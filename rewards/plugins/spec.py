"""Naming a reward and getting a callable that TRL accepts, with every mistake told before training starts.

A reward is named by one string:

- ``package.module:name``: anything importable, TRL's own included (``trl.rewards:think_format_reward``);
- ``./file.py:name``: a file, relative to the configuration that names it (else to the working directory);
- ``name``: one of the shipped rewards, or an entry point in the group ``kie_hvqa.rewards``.

What the name leads to is a reward (sync or async), a callable object, or a *factory*: a function or class that
takes neither completions nor columns and returns a reward, such as ``trl.rewards:get_repetition_penalty_reward``.
Keyword arguments are checked against the signature, and against its annotations where those can be resolved.

Loading a reward runs its module: name only code that you would run.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from kie_hvqa.config import Config, nearest
from kie_hvqa.errors import InputError
from rewards.contract import CHECK, EXPLAIN, ROW_COLUMNS, SLOT_PAY, TRAINER_ARGUMENTS, Rewards, SlotPay
from rewards.plugins.locate import SHIPPED, entry_points, resolve


class RewardSpec(Config):
    """One entry of a recipe's ``rewards``: which function, at what weight, with which keyword arguments."""

    function: str
    weight: float = 1.0
    kwargs: dict[str, Any] = Field(default_factory=dict)


@dataclass(eq=False)
class LoadedReward:
    """A reward under TRL's contract, keyword arguments bound. TRL logs it as ``rewards/<__name__>/mean``.

    It pickles as its spec and is loaded anew where it is unpickled, so that a worker process needs no more
    than the spec, whatever the function is.
    """

    spec: RewardSpec
    function: Callable[..., Any]
    base: Path | None
    name: str
    bound: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.__name__ = self.name
        self.__doc__ = inspect.getdoc(self.function)

    @property
    def weight(self) -> float:
        return self.spec.weight

    @property
    def is_async(self) -> bool:
        return False

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> Rewards:
        return self.function(prompts=prompts, completions=completions, **{**columns, **self.bound})

    @property
    def pays_slots(self) -> bool:
        """Whether it can be taken apart by slot (``rewards.contract.paying_slots``)."""
        return hasattr(self.function, SLOT_PAY)

    def slot_pay(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[SlotPay | None]:
        """What each slot earned, for a reward that ``pays_slots``; weight not applied. Runs in this process."""
        pay = getattr(self.function, SLOT_PAY)
        return pay(prompts=prompts, completions=completions, **{**columns, **self.bound})

    @property
    def explanation(self) -> str:
        """What its arguments ask of a reader, in a sentence; empty for a reward that does not say."""
        explain = getattr(self.function, EXPLAIN, None)
        return "" if explain is None else explain(**self.bound)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reload, (self.spec, self.base, self.name))


class AsyncLoadedReward(LoadedReward):
    """The same over an ``async def``: TRL looks at ``__call__`` to know that it must await."""

    @property
    def is_async(self) -> bool:
        return True

    async def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> Rewards:  # type: ignore[override]
        return await self.function(prompts=prompts, completions=completions, **{**columns, **self.bound})


@dataclass(frozen=True)
class RewardInfo:
    """One line of ``kie-hvqa rewards list``."""

    name: str
    path: str
    source: str
    summary: str
    parameters: dict[str, str]


def load_rewards(specs: Sequence[RewardSpec], base: Path | None = None) -> list[LoadedReward]:
    """Load every spec; ``base`` is the folder that ``./file.py`` is relative to (default: the working directory).

    Two rewards of one name get suffixes (``faithful``, ``faithful_2``), so that no log line hides another.
    Raises InputError for anything that TRL would only meet in the middle of a run.
    """
    loaded: list[LoadedReward] = []
    taken: set[str] = set()
    for spec in specs:
        reward = load_reward(spec, base)
        name, number = reward.name, 1
        while name in taken:
            number += 1
            name = f"{reward.name}_{number}"
        taken.add(name)
        loaded.append(type(reward)(reward.spec, reward.function, reward.base, name, reward.bound))
    return loaded


def load_reward(spec: RewardSpec | str, base: Path | None = None) -> LoadedReward:
    """Load one reward. Raises InputError naming the spec, what is wrong with it and the nearest right name."""
    if isinstance(spec, str):
        spec = RewardSpec(function=spec)
    base = None if base is None else Path(base).resolve()
    target = resolve(spec.function, base)
    kwargs = dict(spec.kwargs)
    function, bound = target, kwargs
    if _is_factory(target):
        function = _make(target, kwargs, spec.function)
        bound = {}
        if not callable(function) or _is_factory(function):
            raise InputError(
                f"it made {type(function).__name__}, which is not a reward",
                field=spec.function,
                remedy="A factory returns a callable that takes `completions` and `**columns`.",
            )
    else:
        _check_kwargs(function, kwargs, spec.function, reserved=TRAINER_ARGUMENTS | ROW_COLUMNS)
        check = getattr(function, CHECK, None)
        if check is not None:
            check(**kwargs)
    _check_takes_columns(function, spec.function)
    kind = AsyncLoadedReward if _is_async(function) else LoadedReward
    return kind(spec, function, base, _name_of(function, target), bound)


def list_rewards() -> list[RewardInfo]:
    """Every reward that a bare name reaches: the shipped ones, described, then the installed entry points.

    An entry point is listed without importing it: a broken plug-in must not break the list.
    """
    infos = []
    for name, path in SHIPPED.items():
        function = resolve(path)
        lines = (inspect.getdoc(function) or "").splitlines()
        infos.append(RewardInfo(name, path, "shipped", lines[0] if lines else "", _parameters(function)))
    for point in entry_points():
        if point.name in SHIPPED and point.value == SHIPPED[point.name]:
            continue  # this project's own declaration of a shipped reward
        source = f"entry point of {point.dist.name}" if point.dist is not None else "entry point"
        infos.append(RewardInfo(point.name, point.value, source, "", {}))
    return infos


def _signature(function: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None  # some builtins have none


def _is_factory(target: Any) -> bool:
    """Whether ``target`` has to be called to get a reward: a class, or a function that knows no completions."""
    if inspect.isclass(target):
        return True
    signature = _signature(target)
    if signature is None:
        return False
    parameters = signature.parameters
    takes_rest = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return not takes_rest and not TRAINER_ARGUMENTS & parameters.keys()


def _make(factory: Any, kwargs: Mapping[str, Any], path: str) -> Any:
    _check_kwargs(factory, kwargs, path, reserved=frozenset())
    missing = [
        p.name
        for p in (_signature(factory) or inspect.Signature()).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in kwargs
    ]
    if missing:
        raise InputError(f"it needs `{'`, `'.join(missing)}`", field=path, remedy="Set it under kwargs.")
    try:
        return factory(**kwargs)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"it could not be made ({type(error).__name__}: {error})", field=path, remedy="Check its kwargs."
        ) from error


def _check_kwargs(function: Any, kwargs: Mapping[str, Any], path: str, reserved: frozenset[str]) -> None:
    signature = _signature(function)
    if signature is None or not kwargs:
        return
    named = {p.name: p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    hints = _hints(function)
    for key, value in kwargs.items():
        where = f"{path} kwargs.{key}"
        if key in reserved:
            raise InputError("the trainer fills this argument", field=where, remedy="Remove it from kwargs.")
        if key not in named:
            # Its **columns would swallow the key in silence.
            raise InputError("unknown argument", field=where, remedy=nearest(key, named.keys() - reserved))
        if key in hints:
            _check_type(value, hints[key], where)


def _check_type(value: Any, hint: Any, where: str) -> None:
    try:
        adapter = TypeAdapter(hint)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return  # not a type that a YAML value could be checked against
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"], field=where, remedy="Mend the value.") from None


def _hints(function: Any) -> dict[str, Any]:
    subject: Any = function.__init__ if inspect.isclass(function) else function
    if not inspect.isroutine(subject) and not isinstance(subject, functools.partial):
        subject = subject.__call__
    try:
        return typing.get_type_hints(subject, include_extras=True)
    except Exception:  # annotations may name what is only there while type checking
        return {}


def _check_takes_columns(function: Any, path: str) -> None:
    signature = _signature(function)
    if signature is None or any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return
    raise InputError(
        "it does not take **columns, and TRL passes every column of the dataset",
        field=path,
        remedy="Define it as f(prompts, completions, **columns).",
    )


def _is_async(function: Any) -> bool:
    """As TRL decides it (``trl.trainer.utils.is_async_callable``): partials unwrapped, callable objects looked into."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(function.__call__)


def _name_of(function: Any, target: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None) or getattr(target, "__name__", None) or type(function).__name__
    return "reward" if name == "<lambda>" else str(name)


def _parameters(function: Any) -> dict[str, str]:
    """The keyword arguments a recipe may set, as ``name: default``."""
    signature = _signature(function)
    parameters = {} if signature is None else signature.parameters
    return {
        name: "required" if p.default is p.empty else repr(p.default)
        for name, p in parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and name not in TRAINER_ARGUMENTS | ROW_COLUMNS
    }


def _reload(spec: RewardSpec, base: Path | None, name: str) -> LoadedReward:
    reward = load_reward(spec, base)
    return type(reward)(reward.spec, reward.function, reward.base, name, reward.bound)
