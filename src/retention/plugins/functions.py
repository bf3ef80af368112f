"""A plain function as a stage: of one customer, or of the columns. No class, no packaging; a notebook will do.

The name of the first argument says which form a function has:

==================  ==========================================  ===============================================
decorator           of one customer                             of the columns
==================  ==========================================  ===============================================
contact_policy      ``customer, action[, opens, closes]``:      ``proposals, situation``: True for each proposal
                    why not (a text, or False), else None       that is allowed, or a ``Review``
tiering_rule        ``customer[, previous]``: name of a tier    ``histories, valuation[, previous]``: names
outreach_strategy   ``customer``: a gain, a ``Proposal``, None  ``situation``: gains (NaN: nobody) or ``Proposals``
value_model         ``customer``: margin of a year of hers      ``histories``: margins of a year of theirs
==================  ==========================================  ===============================================

Arguments beyond these have a default, and are options. A function of one customer is called once for each customer (a
policy's once for each proposal), which takes some three seconds for 100,000 customers where columns take milliseconds.
What it returns is checked, and whatever it raises is told with its name. Both forms of one rule give the same answers.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

from retention.domain import Action
from retention.errors import PluginError
from retention.plugins.contribution import Contribution
from retention.plugins.customers import KnownCustomer
from retention.plugins.hooks import hookimpl
from retention.plugins.lifted import FunctionPolicy, FunctionRule, FunctionStage, FunctionStrategy, Proposal
from retention.plugins.lifted_values import FunctionModel
from retention.plugins.loading import kinds_of

if TYPE_CHECKING:
    from retention.value import PurchaseModel

__all__ = [
    "KnownCustomer",
    "Proposal",
    "contact_policy",
    "gives",
    "outreach_strategy",
    "tiering_rule",
    "value_model",
]


def _name_of(function: Any, name: str | None) -> str:
    if name is not None:
        return name
    own = str(getattr(function, "__name__", ""))
    if not own.isidentifier():
        raise PluginError(
            "a function without a name of its own",
            rule="a stage is chosen by the name of its function, with '-' for '_'",
            remedy="write def, or give name='...'",
        )
    return own.strip("_").replace("_", "-").lower()


@overload
def contact_policy(function: Callable[..., Any], /) -> FunctionPolicy: ...
@overload
def contact_policy(
    *, name: str | None = None, limit_seconds: float | None = None, joint: bool = False, monotone: bool = False
) -> Callable[[Callable[..., Any]], FunctionPolicy]: ...
def contact_policy(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    limit_seconds: float | None = None,
    joint: bool = False,
    monotone: bool = False,
) -> Any:
    """Make a contact policy of a function.

    Of one customer: ``(customer, action)``, and if asked for the window ``opens, closes``; the answer is why not (a
    text, or False for the first line of the docstring), and None or True where nothing speaks against it. Of the
    columns: ``(proposals, situation)``; the answer is True for each proposal that is allowed, or a ``Review``. Any
    other answer is an error, and a policy that fails lets nothing through.

    Args:
        function: the function; the decorator may stand with or without arguments.
        name: None takes the function's, with "-" for "_".
        limit_seconds: how long a night may wait for it; None for ever.
        joint: the answer to one proposal depends on others (of a function of the columns).
        monotone: more contacts on file never make a veto of it disappear.

    Example:
        >>> @contact_policy
        ... def no_calls_to_the_new(customer, action):
        ...     "New customers are not called."
        ...     if action.channel == "phone" and customer.history.frequency == 0:
        ...         return "came once, and is not called"
        >>> no_calls_to_the_new
        <contact policy 'no-calls-to-the-new': New customers are not called.>
    """

    def lift(wrapped: Callable[..., Any]) -> FunctionPolicy:
        return FunctionPolicy(
            function=wrapped, name=_name_of(wrapped, name), limit_seconds=limit_seconds, joint=joint, monotone=monotone
        )

    return lift if function is None else lift(function)


def tiering_rule(*, tiers: Sequence[str], name: str | None = None) -> Callable[[Callable[..., Any]], FunctionRule]:
    """Make a tiering rule of a function.

    Of one customer: ``(customer)``, and if asked for ``previous``, the name of her tier before (None for none); the
    answer is the name of a tier. Of the columns: ``(histories, valuation)`` and if asked for ``previous``; the answer
    is a name for each customer. ``customer.worth`` is her row of the valuation.

    Args:
        tiers: all names, from the lowest to the highest.
        name: None takes the function's, with "-" for "_".

    Example:
        >>> @tiering_rule(tiers=("standard", "gold"))
        ... def regulars(customer):
        ...     "Gold from the fifth purchase on."
        ...     return "gold" if customer.history.frequency >= 4 else "standard"
        >>> regulars.tiers
        ('standard', 'gold')
    """
    if isinstance(tiers, str) or not isinstance(tiers, Iterable):
        raise PluginError(
            f"tiers={tiers!r}" if isinstance(tiers, str) else f"tiers of type {type(tiers).__name__}",
            rule="tiers are names, each once, from the lowest to the highest",
            remedy="@tiering_rule(tiers=('standard', 'gold'))",
        )

    def lift(wrapped: Callable[..., Any]) -> FunctionRule:
        return FunctionRule(function=wrapped, name=_name_of(wrapped, name), tiers=tiers)

    return lift


def outreach_strategy(*, action: Action, name: str | None = None) -> Callable[[Callable[..., Any]], FunctionStrategy]:
    """Make an outreach strategy of a function.

    Of one customer: ``(customer)``; the answer is the expected incremental margin of the contact before its cost, a
    :class:`Proposal` that says more, or None for nobody. Of the columns: ``(situation)``; the answer is a gain for each
    customer, NaN for nobody, or ``Proposals``. What is gained is an assumption until it is measured, and is listed so.

    Args:
        action: what would be done.
        name: None takes the function's, with "-" for "_".

    Example:
        >>> card = Action(name="birthday card", kind="give", channel="post", money=1.5, needs_consent=False,
        ...               customer_benefit="somebody thinks of her day")
        >>> @outreach_strategy(action=card)
        ... def birthday(customer):
        ...     "A card in the month of her birthday."
        ...     if customer.attributes.get("birth_month") == customer.as_of.month:
        ...         return 0.02 * customer.worth["expected_margin"]
        >>> birthday.name
        'birthday'
    """
    if not isinstance(action, Action):
        raise PluginError(
            f"action of type {type(action).__name__}",
            rule="a strategy proposes an action",
            remedy="@outreach_strategy(action=Action(name=..., kind=..., channel=..., customer_benefit=...))",
        )

    def lift(wrapped: Callable[..., Any]) -> FunctionStrategy:
        return FunctionStrategy(function=wrapped, name=_name_of(wrapped, name), action=action)

    return lift


@overload
def value_model(function: Callable[..., Any], /) -> FunctionModel: ...
@overload
def value_model(
    *, base: "str | PurchaseModel" = "bg-nbd", name: str | None = None
) -> Callable[[Callable[..., Any]], FunctionModel]: ...
def value_model(
    function: Callable[..., Any] | None = None, /, *, base: "str | PurchaseModel" = "bg-nbd", name: str | None = None
) -> Any:
    """Make a value model of a function that says what a year of a customer brings.

    Of one customer: ``(customer)``; of the columns: ``(histories)``, one number each. It is the expected margin of the
    next 365 days, undiscounted, *given that she is a customer today*. Whether she is, and when she comes, is told by
    ``base``, which is fitted to the same customers: for other horizons and intervals see
    :class:`~retention.plugins.lifted_values.FittedFunctionModel`.

    Args:
        function: the function; the decorator may stand with or without arguments.
        base: a purchase model of this library, by name or as a recipe.
        name: None takes the function's, with "-" for "_".

    Example:
        >>> @value_model
        ... def as_last_year(customer):
        ...     "She brings a year what she brought a year."
        ...     return customer.history.margin / max(customer.history.age_days, 365.0) * 365.0
        >>> from retention.histories import Histories
        >>> base = Histories.from_arrays(frequency=[3, 1], recency_days=[200, 30], age_days=[365, 365],
        ...                              margin=[80, 20])
        >>> worth = as_last_year.fit(base).value(base, horizon_days=365, discount_rate=0.0)
        >>> (worth.expected_margin / worth.p_alive).round(6).tolist()
        [80.0, 20.0]
    """

    def lift(wrapped: Callable[..., Any]) -> FunctionModel:
        return FunctionModel(function=wrapped, name=_name_of(wrapped, name), base=base)

    return lift if function is None else lift(function)


def gives(*stages: Any) -> Callable[[], list[Contribution]]:
    """The hook by which a module gives stages of one kind: decorated functions, or objects with a name.

    Assign it to the hook's name: ``retention_contact_policies = gives(no_mondays, no_calls)``.

    Raises:
        PluginError: a thing that is no stage, or two kinds in one hook.

    Example:
        >>> @contact_policy
        ... def nobody(customer, action):
        ...     return "nobody is contacted"
        >>> retention_contact_policies = gives(nobody)
        >>> [one.name for one in retention_contact_policies()]
        ['nobody']
    """
    kinds = [kinds_of(stage) for stage in stages]
    if any(len(found) != 1 for found in kinds) or len({found[0] for found in kinds}) > 1:
        told = ", ".join(
            f"{type(stage).__name__} ({', '.join(found) or 'none'})" for stage, found in zip(stages, kinds, strict=True)
        )
        raise PluginError(
            f"gives() of {told}",
            rule="one hook gives stages of one kind, each with a name",
            remedy="write one line for each hook: retention_contact_policies = gives(...)",
        )
    listed = [_contribution(stage) for stage in stages]

    def hook() -> list[Contribution]:
        return listed

    return hookimpl(hook)


def _contribution(stage: Any) -> Contribution:
    if isinstance(stage, FunctionStage):
        return stage.contribution
    lines = (type(stage).__doc__ or "").strip().splitlines()
    return Contribution(name=stage.name, summary=lines[0] if lines else stage.name, make=lambda: stage)
