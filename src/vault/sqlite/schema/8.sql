-- Whether the device said no to a login that counts as refused: 0 where no code was sent with it, 1 where one was. NULL where it
-- said nothing, as one that hung.
ALTER TABLE failed_login ADD COLUMN refused INTEGER;

-- When in its step a code was sent that the device took after it had refused one, in milliseconds; NULL where none was.
ALTER TABLE device_clock ADD COLUMN phase INTEGER;
