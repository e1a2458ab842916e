-- The version of the password that was tried last after it had been taken back: none up to it is tried in that way again.
ALTER TABLE account ADD COLUMN adopted INTEGER NOT NULL DEFAULT 0;
