-- At the commit of an application's transaction that published: wakes somebody in each of its queues, in one order.
CREATE OR REPLACE FUNCTION lovage_wake_at_commit() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer;
BEGIN
    FOR v_queue IN SELECT DISTINCT queue FROM lovage_wake ORDER BY queue LOOP
        PERFORM lovage_announce(v_queue);
        PERFORM lovage_nudge(v_queue, lovage_now(NULL), true);
    END LOOP;
    DELETE FROM lovage_wake;
    RETURN NULL;
END $$;

DROP TRIGGER IF EXISTS lovage_wake_at_commit ON lovage_wake;
CREATE CONSTRAINT TRIGGER lovage_wake_at_commit AFTER INSERT ON lovage_wake
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lovage_wake_at_commit();
