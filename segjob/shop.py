"""The demo's shop: 20,000 customers with orders, drawn from five known segments, and a view of features over them."""

from __future__ import annotations

from sqlalchemy import Connection

from segjob.shipped import sql_dir


def create_shop(connection: Connection) -> None:
    """Make the schema `shop` in the caller's transaction; it is the same on every server, down to the last order.

    Its customers' true segments are in `shop.customer_truth`. The segmentation that finds them again is
    `sql/demo/segjob.yaml`.
    """
    for script in sorted((sql_dir() / "demo").glob("*.sql")):
        connection.exec_driver_sql(script.read_text())
