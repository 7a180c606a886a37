-- The columns of an action.
SELECT id, at, who, address, what, target, outcome FROM lovage_audit
