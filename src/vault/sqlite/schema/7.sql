-- Whether the offset that is known of a device's clock has worked since a code was last refused.
ALTER TABLE device_clock ADD COLUMN worked INTEGER NOT NULL DEFAULT 0;
