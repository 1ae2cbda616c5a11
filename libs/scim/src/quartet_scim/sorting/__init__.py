"""Sorting (RFC 7644 3.4.2.3): sortBy -> the order for one resource type -> SQL, or the ranks of documents."""

from quartet_scim.sorting.evaluate import Rank, rank
from quartet_scim.sorting.order import Order, Sorter
from quartet_scim.sorting.sql import Key, key_of

__all__ = ["Key", "Order", "Rank", "Sorter", "key_of", "rank"]
