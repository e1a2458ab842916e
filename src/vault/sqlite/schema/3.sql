-- By how many time steps of its codes a device's clock is off, and how many refused logins were spent on finding out.
CREATE TABLE device_clock (
    device TEXT PRIMARY KEY,
    steps INTEGER NOT NULL,
    tried INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
