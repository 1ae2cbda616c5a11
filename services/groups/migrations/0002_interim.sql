-- Holds the number of the migration that is made at the same time elsewhere; goes away when the two are merged.
SELECT 1;
