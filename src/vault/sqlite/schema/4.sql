-- The boot in which an account's wake-up time was set, and that time by this boot's own clock, in milliseconds.
ALTER TABLE account ADD COLUMN wake_boot TEXT;
ALTER TABLE account ADD COLUMN wake_up INTEGER;
