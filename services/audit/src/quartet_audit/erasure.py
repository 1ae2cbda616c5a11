"""Erasure: what is removed of a deleted tenant's log, and what of it stays for the tree."""

from quartet_audit import entry_store
from quartet_common.runtime.tenant_deletion import Erasure

ERASURE = Erasure(staying={"logs", "leaf_hashes"}, own={"entries": entry_store.erase_entries})
"""Entries go, each leaving its leaf hash; how long each log was stays too."""
