-- In place of the day by a clock that can be set: the elapsed day, counted in this vault, in which the code was used.
ALTER TABLE used_step RENAME COLUMN day TO age;
UPDATE used_step SET age = 0;
-- Device, fingerprint and key, authenticated under the data key.
ALTER TABLE host_key ADD COLUMN sealed BLOB;
