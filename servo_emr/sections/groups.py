"""The node groups of a configuration: `emr.components` has their types and numbers, `emr.cluster` all else."""

from __future__ import annotations

from servo_emr.domain.bounds import EnumBound, RangeBound
from servo_emr.domain.cluster import Market, NodeGroup, Role
from servo_emr.domain.settings import INST_TYPE, MARKET, REPLICAS, Setting
from servo_emr.sections.cluster import ClusterSection
from servo_emr.sections.components import ComponentsSection, GroupSection, MarketSection, PrimarySection
from servo_emr.sections.nodes import NodesSection, configurations
from servo_emr.sections.settings import settings_of

__all__ = ["all_settings", "by_role", "check_nodes", "node_groups"]


def by_role(components: ComponentsSection) -> list[tuple[Role, PrimarySection | GroupSection]]:
    """The sections of the roles that the cluster has."""
    sections: list[tuple[Role, PrimarySection | GroupSection]] = [
        (Role.PRIMARY, components.primary),
        (Role.CORE, components.core),
    ]
    return sections if components.task is None else [*sections, (Role.TASK, components.task)]


def node_groups(components: ComponentsSection, cluster: ClusterSection) -> tuple[NodeGroup, ...]:
    """The groups as the domain has them, with the types and numbers to begin with."""
    return tuple(_group(role, section, _nodes(cluster, role)) for role, section in by_role(components))


def _group(role: Role, section: PrimarySection | GroupSection, nodes: NodesSection) -> NodeGroup:
    return NodeGroup(
        role=role,
        inst_type=section.inst_type.value,
        count=section.replicas.value if isinstance(section, GroupSection) else 1,
        market=Market(_market(section, nodes)),
        bid_usd=section.bid_price if section.bid_price is not None else nodes.bid_price,
        disks=nodes.disks,
        ebs_optimized=nodes.ebs_optimized,
        ami_id=nodes.ami_id,
        configurations=configurations(nodes.configurations),
        fleet=None if nodes.fleet is None else nodes.fleet.to_domain(),
    )


def _nodes(cluster: ClusterSection, role: Role) -> NodesSection:
    nodes: NodesSection = getattr(cluster, str(role))
    return nodes


def check_nodes(components: ComponentsSection, cluster: ClusterSection, repeats: int) -> None:
    """Refuses what the sections say only together.

    Raises:
        ValueError: naming the keys.
    """
    roles = [role for role, _ in by_role(components)]
    if Role.TASK not in roles and cluster.task != NodesSection():
        raise ValueError("cluster -> task: there are no task nodes; add components.task, or take it out")
    for role, section in by_role(components):
        nodes = _nodes(cluster, role)
        _check_market(role, section, nodes)
        _check_fleet(role, section, nodes)
    in_fleets = [role for role in roles if _nodes(cluster, role).fleet is not None]
    if in_fleets and len(in_fleets) < len(roles):
        missing = ", ".join(f"cluster.{role}.fleet" for role in roles if role not in in_fleets)
        raise ValueError(
            f"cluster -> {in_fleets[0]} -> fleet: the nodes of a cluster are all in groups, or all in fleets; "
            f"add {missing} (it may be empty: {{}}), or take it out"
        )
    if cluster.step_concurrency > 1 and repeats > 1:
        raise ValueError(
            f"cluster -> step_concurrency {cluster.step_concurrency}: the {repeats} repeats of the job would run at "
            "once and disturb each other; set it to 1, or job.repeats to 1"
        )


def _market(section: PrimarySection, nodes: NodesSection) -> str:
    """The market to begin with."""
    if isinstance(section.market, MarketSection):
        return str(section.market.value)
    return str(section.market or nodes.market)


def _check_market(role: Role, section: PrimarySection | GroupSection, nodes: NodesSection) -> None:
    for key in ("market", "bid_price"):
        default = nodes.__fields__[key].default
        if getattr(nodes, key) != default and getattr(section, key) is not None:
            raise ValueError(f"components -> {role} -> {key} and cluster.{role}.{key} say the same: take one out")
    bid = section.bid_price if section.bid_price is not None else nodes.bid_price
    if bid is None:
        return
    place = f"components -> {role}" if section.bid_price is not None else f"cluster -> {role}"
    if Market.SPOT not in (section.markets or (nodes.market,)):
        raise ValueError(f"{place} -> bid_price is for spot nodes: set market: spot beside it, or take it out")
    if round(bid, 3) != bid:
        raise ValueError(f"{place} -> bid_price {bid:g} has more than the three decimals that EMR takes: round it")


def _check_fleet(role: Role, section: PrimarySection | GroupSection, nodes: NodesSection) -> None:
    fleet, place = nodes.fleet, f"cluster -> {role} -> fleet"
    if fleet is None:
        return
    possible = {*section.inst_type.values, *fleet.alternatives}
    for name, one in fleet.types.items():
        if name not in possible:
            raise ValueError(f"{place} -> types: {name} is no type of these nodes: add it to alternatives")
        if role is Role.PRIMARY and one.weight != 1:
            raise ValueError(f"{place} -> types: {name}: the weight of a primary node is 1")
        if one.bid_price is not None and round(one.bid_price, 3) != one.bid_price:
            raise ValueError(f"{place} -> types: {name}: bid_price {one.bid_price:g} has more than three decimals")
    if fleet.on_demand and Market.SPOT not in (section.markets or (nodes.market,)):
        raise ValueError(f"{place} -> on_demand: all are bought on demand already; set market: spot, or take it out")
    if fleet.on_demand and role is Role.PRIMARY:
        raise ValueError(f"{place} -> on_demand: there is one primary node; choose its market")


def all_settings(components: ComponentsSection) -> list[Setting]:
    """Every setting: those of the nodes, then the components of your own."""
    settings: list[Setting] = []
    for role, section in by_role(components):
        kind = section.inst_type
        settings.append(Setting(str(role), INST_TYPE, EnumBound(tuple(kind.values)), kind.value, kind.pinned))
        if isinstance(section, GroupSection):
            count = section.replicas
            bound = RangeBound(count.min, count.max, count.step)
            settings.append(Setting(str(role), REPLICAS, bound, count.value, count.pinned))
        if isinstance(section.market, MarketSection):
            markets = tuple(str(one) for one in section.market.values)
            chosen = section.market
            settings.append(Setting(str(role), MARKET, EnumBound(markets), str(chosen.value), chosen.pinned))
        settings += settings_of(str(role), section.own)
    for name, component in components.own.items():
        settings += settings_of(name, component.own)
    return settings
