"""Conditions under which images get worse, from the lens to the file. No torch."""

from contextnet.data.conditions.catalogue import CONDITIONS, SEVERITIES, Condition, find_conditions
from contextnet.data.conditions.scaling import Scaling
from contextnet.data.conditions.worsened import Worsened
from contextnet.data.conditions.worsening import Worsening

__all__ = ["CONDITIONS", "SEVERITIES", "Condition", "Scaling", "Worsened", "Worsening", "find_conditions"]
