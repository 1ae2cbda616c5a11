"""Sorting (RFC 7644 3.4.2.3): sortBy -> the order that it means for one type -> SQL, or the order of documents."""

from quartet_scim.sorting.evaluate import Rank, rank
from quartet_scim.sorting.order import Order, Sorter
from quartet_scim.sorting.sql import Key, key_of

__all__ = ["Key", "Order", "Rank", "Sorter", "key_of", "rank"]
