-- What is not clean about the change that was proved last: shown until a clean change, or until an operator has seen it.
ALTER TABLE account ADD COLUMN warning TEXT;
-- What is not clean about the change that is under way.
ALTER TABLE account ADD COLUMN flaw TEXT;
-- What was not clean about an attempt that succeeded.
ALTER TABLE attempt ADD COLUMN warning TEXT;
