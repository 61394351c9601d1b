"""Feature pyramid networks in torch alone: the information paths, the neck of a genotype, the super-net, BiFPN."""

from opanas_cli.necks.bifpn import BiFPN
from opanas_cli.necks.opa_fpn import OPAFPN
from opanas_cli.necks.path_aggregation import PathAggregationNeck
from opanas_cli.necks.super_net import OPASuperNet, inherited_state_dict

__all__ = ["OPAFPN", "BiFPN", "OPASuperNet", "PathAggregationNeck", "inherited_state_dict"]
