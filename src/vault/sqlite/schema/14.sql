-- What an attempt was for, what asked for it, and what it failed of.
ALTER TABLE attempt ADD COLUMN kind TEXT NOT NULL DEFAULT 'rotate';
ALTER TABLE attempt ADD COLUMN job TEXT;
ALTER TABLE attempt ADD COLUMN reason TEXT;
ALTER TABLE attempt ADD COLUMN failure TEXT;
-- Why the last verify of an account at rest failed.
ALTER TABLE account ADD COLUMN verify_error TEXT;
