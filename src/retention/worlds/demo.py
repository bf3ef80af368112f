"""A small shop to try everything on: messy invoices, a few lists, and a configuration to start from."""

from pathlib import Path

from retention.errors import ConfigError
from retention.worlds.shop import Shop

__all__ = ["CONFIG", "make_demo"]

_MARK = "# A simulated shop to try things on."

CONFIG = f"""{_MARK}
# Everything here has a default but [read]; file names are relative to this file.

[read]
source = "invoices.csv"
customer = "Customer"
at = "Date"
quantity = "Qty"
unit_price = "Unit price"
cost = "Cost"
order = "Invoice"
item = "Item"
category = "Category"
channel = "Channel"
currency = "EUR"

[files]
consents = "consents.csv"
touches = "touches.csv"

[value]
model = "bg-nbd"
horizon_days = 365
discount_rate = 0.10

[tiers]
rule = "margin-bands"

[plan]
money = 10
hours = 1.5
holdout = 0.1
seed = 7

[options."frequency-cap"]
max_contacts = 2
days = 28

[output]
folder = "."
journal = "journal.db"
as_of = "last"
"""


def make_demo(folder: Path, *, seed: int = 7) -> Path:
    """Write a corner shop's files into a folder and return its ``retention.toml``: same seed, same bytes.

    The shop is simulated, its mess is meant: several date and number formats, returns, cancelled orders, copies of
    rows, rows without a customer, a price that cannot be. A demonstration that is there already starts afresh, its
    journal too.

    Raises:
        ConfigError: the folder holds a configuration or a journal that is not a demonstration's.
    """
    config = folder / "retention.toml"
    ours = config.exists() and config.read_text("utf-8", "replace").startswith(_MARK)
    if not ours and (config.exists() or (folder / "journal.db").exists()):
        raise ConfigError(
            f"{folder}: a configuration or a journal that is no demonstration's",
            rule="a demonstration writes over nothing but itself",
            remedy="name another folder",
        )
    world = Shop.corner_shop(seed=seed).simulate()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (folder / name).unlink(missing_ok=True)
    world.write_invoices(folder / "invoices.csv", seed=seed)
    world.write_consents(folder / "consents.csv")
    world.write_touches(folder / "touches.csv")
    config.write_text(CONFIG, encoding="utf-8", newline="\n")
    return config
