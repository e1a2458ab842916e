-- Seeds by number: a code that was used is kept for four hundred days, and takes some fifteen bytes.
CREATE TABLE seed (
    id   INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE used_step (
    seed INTEGER NOT NULL,
    step INTEGER NOT NULL,
    -- When it was used, in days since 1970 by the wall clock.
    day  INTEGER NOT NULL,
    PRIMARY KEY (seed, step)
) STRICT, WITHOUT ROWID;
INSERT INTO seed (hash) SELECT DISTINCT seed FROM used_code;
INSERT INTO used_step (seed, step, day)
    SELECT seed.id, used_code.step, used_code.wall / 86400000 FROM used_code JOIN seed ON seed.hash = used_code.seed;
DROP TABLE used_code;
