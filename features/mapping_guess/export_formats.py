"""Known shapes of point-of-sale exports: the columns that identify each, and their meaning."""

from collections.abc import Sequence
from dataclasses import dataclass, field

VOIDED = ("void", "voided", "cancelled", "canceled", "deleted", "parked", "saved", "cancelled sale", "abgebrochen")
"""Values of a column of states, in any case, for lines that were not sold."""


@dataclass(frozen=True)
class Shape:
    """One kind of export: `marks` are columns that identify it, `words` the column of each word of a mapping.

    `drop` has columns and their values in lines that are void or no items. `day_first` says how dates with slashes are
    written where their values do not. `doubts` are questions that only somebody who knows the till can answer.
    """

    name: str
    marks: tuple[str, ...]
    words: dict[str, str]
    drop: dict[str, tuple[str, ...]] = field(default_factory=dict)
    day_first: bool | None = None
    doubts: tuple[str, ...] = ()


SQUARE = {"store": "Location", "date": "Date", "time": "Time", "timezone": "Time Zone", "ticket": "Transaction ID",
          "line_total": "Net Sales"}  # fmt: skip
LOYVERSE = {"store": "Store", "ticket": "Receipt number", "timestamp": "Date", "line_total": "Net sales"}

SHAPES = (
    Shape("Square items", ("Transaction ID", "Net Sales", "Date", "Time", "Item"), {**SQUARE, "item": "Item"}),
    Shape("Square transactions", ("Transaction ID", "Net Sales", "Date", "Time"), SQUARE),
    Shape(
        "Toast item selections",
        ("Check Id", "Menu Item", "Net Price", "Order Date"),
        {"store": "Location", "ticket": "Check Id", "timestamp": "Order Date", "line_total": "Net Price",
         "item": "Menu Item"},
        {"Void?": ("true",)},
        day_first=False,
    ),
    Shape(
        "Toast orders",
        ("Order Id", "Opened", "Amount"),
        {"store": "Location", "ticket": "Order Id", "timestamp": "Opened", "line_total": "Amount"},
        {"Voided": ("true",)},
        day_first=False,
    ),
    Shape(
        "Clover line items",
        ("Line Item Date", "Order ID", "Item Name"),
        {"ticket": "Order ID", "timestamp": "Line Item Date", "line_total": "Total Revenue", "item": "Item Name"},
        {"Refunded": ("Yes", "true")},
        day_first=False,
        doubts=("a refunded line is dropped: it has no line of its own that gives the money back",),
    ),
    Shape(
        "Clover orders",
        ("Order ID", "Order Date", "Order Total"),
        {"ticket": "Order ID", "timestamp": "Order Date", "line_total": "Order Total"},
        day_first=False,
        doubts=("Order Total may hold tax: sales are meant without it",),
    ),
    Shape(
        "Lightspeed Retail sales",
        ("Receipt Number", "Line Type", "Date"),
        {"store": "Outlet", "ticket": "Receipt Number", "timestamp": "Date", "line_total": "Subtotal"},
        {"Line Type": ("Sale", "Payment"), "Status": ("VOIDED", "SAVED", "PARKED")},
        doubts=("the lines of whole sales and of payments are dropped, those of items are kept",),
    ),
    Shape("Loyverse receipts by item", ("Receipt number", "Net sales", "Date", "Item"), {**LOYVERSE, "item": "Item"},
          {"Status": ("Cancelled",)}, day_first=True),
    Shape("Loyverse receipts", ("Receipt number", "Net sales", "Date"), LOYVERSE, {"Status": ("Cancelled",)},
          day_first=True),
    Shape(
        "Shopify orders",
        ("Name", "Created at", "Lineitem quantity", "Lineitem price"),
        {"ticket": "Name", "timestamp": "Created at", "quantity": "Lineitem quantity", "unit_price": "Lineitem price",
         "item": "Lineitem name"},
        doubts=("prices of items are before the order's discount, and refunds are not among the lines",),
    ),
)  # fmt: skip
"""Of the shapes of one maker, the more specific one comes first."""


def find_shape(columns: Sequence[str]) -> Shape | None:
    """Return the first shape all of whose marks are among the columns; None without one."""
    return next((shape for shape in SHAPES if set(shape.marks) <= set(columns)), None)
