-- Whether the device said no to a login that counts as refused: 0 where no code was sent with it, 1 where one was. NULL where it
-- said nothing, as one that hung.
ALTER TABLE failed_login ADD COLUMN refused INTEGER;
