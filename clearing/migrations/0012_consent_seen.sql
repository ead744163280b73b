-- How the group stood when a dangerous act was asked: hash of its newest decision.
-- What was asked before this has none, so it fits nothing any more and is asked anew.
ALTER TABLE consent ADD COLUMN seen text;
