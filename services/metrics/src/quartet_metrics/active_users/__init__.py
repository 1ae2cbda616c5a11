"""Which users were active on a day, and how many."""
