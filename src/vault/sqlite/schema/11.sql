-- A login of the account was taken since which had sent what this one was refused for.
ALTER TABLE failed_login ADD COLUMN past INTEGER NOT NULL DEFAULT 0;
