-- Rate limits: as they are written, when all tokens are back, and when the next one is where the last reservation left none.

ALTER TABLE lovage_queue ADD COLUMN rate TEXT;
ALTER TABLE lovage_queue ADD COLUMN spent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lovage_queue ADD COLUMN empty_until INTEGER;
