-- Times are milliseconds since 1970 (wall) and milliseconds since boot (up), with the boot they count in.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    name        TEXT PRIMARY KEY,
    state       TEXT NOT NULL DEFAULT 'idle',
    since       INTEGER NOT NULL,
    attempt     TEXT,
    current     INTEGER,
    candidate   INTEGER,
    paused      INTEGER NOT NULL DEFAULT 0,
    last_change INTEGER,
    last_error  TEXT,
    wake        INTEGER,
    tries       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE secret (
    account TEXT NOT NULL,
    kind    TEXT NOT NULL,
    version INTEGER NOT NULL,
    sealed  BLOB NOT NULL,
    made    INTEGER NOT NULL,
    retired INTEGER,
    PRIMARY KEY (account, kind, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE change (
    account TEXT NOT NULL,
    attempt TEXT NOT NULL,
    wall    INTEGER NOT NULL,
    boot    TEXT NOT NULL,
    up      INTEGER NOT NULL,
    PRIMARY KEY (account, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE failed_login (
    id      INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    wall    INTEGER NOT NULL,
    boot    TEXT NOT NULL,
    up      INTEGER NOT NULL
) STRICT;
CREATE INDEX failed_login_account ON failed_login (account);

CREATE TABLE used_code (
    seed TEXT NOT NULL,
    step INTEGER NOT NULL,
    wall INTEGER NOT NULL,
    PRIMARY KEY (seed, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (
    id        TEXT PRIMARY KEY,
    account   TEXT NOT NULL,
    started   INTEGER NOT NULL,
    ended     INTEGER,
    cause     TEXT NOT NULL,
    actor     TEXT,
    outcome   TEXT,
    detail    TEXT,
    steps     TEXT NOT NULL DEFAULT '[]'
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_account ON attempt (account, started);

CREATE TABLE host_key (
    device      TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    key         TEXT NOT NULL,
    trusted     INTEGER NOT NULL,
    PRIMARY KEY (device, fingerprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    name TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE paused_job (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Audit events on their way to the log's file.
CREATE TABLE outbox (
    seq  INTEGER PRIMARY KEY,
    hash TEXT NOT NULL,
    line TEXT NOT NULL
) STRICT;
