"""A tariff is named alike wherever one is wanted: by name, path or id, and refused in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.fix_postgres import Database
from tests.import_world import ImportWorld
from tests.tenant_world import TenantWorld

ADD: Final = "account add New --kind customer --tariff {} --as North"
WAYS: Final = {
    "account add": ADD,
    "account set": "account set Alpha --tariff {} --as North",
    "account move": "account move Alpha --to North --tariff {} --as North",
    "contract set": "contract set Alpha --tariff {} --as North",
    "peering add": "peering add second --account North --tariff {} --as North",
    "peering set": "peering set own --tariff {} --as North",
    "tariff prices": "tariff prices {} --as North",
    "tariff price": "tariff price {} 44 0.1 --as North",
}


@pytest.fixture
def world(database: Database, tmp_path: Path) -> ImportWorld:
    """Let North have a tariff, and carriers; South has another one of that name."""
    made = ImportWorld(database, tmp_path)
    database.run("select world.grant('North', 'accounts')")
    return made


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_there(world: ImportWorld, way: str) -> None:
    """Neither a name that nobody has, nor another's, nor an id; as `import rates` says it."""
    commands = TenantWorld(world.database)
    for name in ("nothing", "South/retail", "#4711"):
        said = commands.refused(WAYS[way].format(f"'{name}'"))
        assert said == f"tariff: '{name}' does not exist"
        assert world.refused("rates", world.file("Code,Rate", "44,0.1"), "--tariff", name) == said


@pytest.mark.parametrize("way", [way for way in WAYS if way != "account move"])
def test_several_of_a_name(world: ImportWorld, way: str) -> None:
    """Two of equally near accounts: which ids they have; one's own comes before those below."""
    commands = TenantWorld(world.database)
    run = world.database.run
    run("select world.reseller('Fjord', 'North', 'retail', 5), world.reseller('East', 'North', 'retail', 5)")
    run("select world.tariff('Fjord', 'shop', 'EUR', '44', '0.1'), world.tariff('East', 'shop', 'EUR', '44', '0.1')")
    said = commands.refused(WAYS[way].format("shop"))
    if "prices" in way or way == "tariff price":
        assert said.startswith("tariff: several are called 'shop', give the id or a path: #")
        refusal = world.refused("rates", world.file("Code,Rate", "44,0.1"), "--tariff", "shop")
        assert refusal == said
    else:
        assert said == "tariff: 'shop' is another account's; it has to be one of the same account"
