-- The identity of this store, and where it is: a copy of a database is another one, or has another table.
SELECT id, concat_ws('/', (SELECT oid FROM pg_database WHERE datname = current_database()), 'lovage_schedule_store'::regclass::oid,
    CASE WHEN has_function_privilege('pg_control_system()', 'execute')
    THEN (SELECT system_identifier FROM pg_control_system()) END) AS place
FROM lovage_schedule_store
