-- The identity of this store.
SELECT id FROM lovage_schedule_store
