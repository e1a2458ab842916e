-- What goes on by itself is found without a look at every account: by its time, or because it has none.
CREATE INDEX account_wakes ON account (wake_boot, wake_up) WHERE wake IS NOT NULL;
CREATE INDEX account_unsettled ON account (state) WHERE state NOT IN ('idle', 'quarantined');
