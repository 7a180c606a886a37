-- Leaves a command for a worker.
INSERT INTO lovage_command (worker, command) VALUES (?1, ?2)
