-- Up to when the turns of a job's last firing were begun: those behind it are yet to come after a restart. NULL where there is none.
ALTER TABLE job ADD COLUMN turned INTEGER;
