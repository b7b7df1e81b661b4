"""Task definitions that each violate one rule, at least one for every rule of `validate`."""

from tests.unit.definitions.invalid.base import InvalidDefinition
from tests.unit.definitions.invalid.containers import CONTAINERS
from tests.unit.definitions.invalid.fargate import FARGATE
from tests.unit.definitions.invalid.network import NETWORK
from tests.unit.definitions.invalid.options import OPTIONS
from tests.unit.definitions.invalid.resources import RESOURCES
from tests.unit.definitions.invalid.storage import STORAGE

INVALID = [*CONTAINERS, *OPTIONS, *RESOURCES, *NETWORK, *STORAGE, *FARGATE]

__all__ = ["INVALID", "InvalidDefinition"]
