-- A message that tells of `telling` notices that were left out may be on its way.
ALTER TABLE notifier ADD COLUMN telling INTEGER NOT NULL DEFAULT 0;
ALTER TABLE notifier ADD COLUMN telling_first INTEGER NOT NULL DEFAULT 0;
ALTER TABLE notifier ADD COLUMN telling_last INTEGER NOT NULL DEFAULT 0;
-- How often the first message that waits was refused.
ALTER TABLE notifier ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
