-- When the stored password was last tried to no other end, in milliseconds since 1970.
ALTER TABLE account ADD COLUMN verified INTEGER;
