-- How far each notifier is: all events up to `sent` were told, or need not be. A message whose last event is `claimed` may be on its way.
CREATE TABLE notifier (
    name          TEXT PRIMARY KEY,
    sent          INTEGER NOT NULL,
    claimed       INTEGER,
    digest_seq    INTEGER NOT NULL,
    digest_at     INTEGER NOT NULL,
    digest_to     INTEGER,
    dropped       INTEGER NOT NULL DEFAULT 0,
    dropped_first INTEGER NOT NULL DEFAULT 0,
    dropped_last  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
