-- A crash of the engine can undo a deletion of the last seconds. So deleted tenants and series with late
-- events are deleted twice, a minute apart: when the second deletion is made, no crash can undo the first one.
ALTER TABLE engine_rewrites ADD COLUMN passes smallint NOT NULL DEFAULT 2;
ALTER TABLE engine_erased ADD COLUMN passes smallint NOT NULL DEFAULT 1;
